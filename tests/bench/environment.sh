# Sourced by run and compare, in the checkout $root: sets $venv, and ANCESTOR to a folder with cancorder_utils.
# shellcheck shell=sh
# shellcheck source=contrib/environment.sh
. contrib/environment.sh
environment "$root" "[test]" -r tests/requirements.txt
# The ancestor has a folder of its own, because its commands have the same names as ours.
ANCESTOR=$venv/ancestor
cmp -s tests/bench/requirements.txt "$ANCESTOR/requirements.txt" || {
    rm -rf "$ANCESTOR"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$ANCESTOR" \
        -r tests/bench/requirements.txt
    cp tests/bench/requirements.txt "$ANCESTOR/"
}
export ANCESTOR
