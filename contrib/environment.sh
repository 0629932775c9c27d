# Sourced by contrib/demo and tests/run: makes the virtual environment beside the checkout.
# shellcheck shell=sh

# environment ROOT EXTRAS [PIP-OPTION...]: sets $venv; installs only what has changed since the last time.
# shellcheck disable=SC2034 # venv is for the caller
environment() {
    checkout=$1 extras=$2
    shift 2
    venv=$(dirname "$checkout")/$(basename "$checkout")-venv
    if ! mkdir -p "$venv" 2>/dev/null; then
        echo "$venv: cannot be made. Put the checkout into a folder of your own." >&2
        return 1
    fi
    recipe=$(cat "$checkout/pyproject.toml" "$checkout/tests/requirements.txt" "$checkout/contrib/environment.sh" | cksum)
    for mark in "$venv/installed[test]" "$venv/installed$extras"; do # the former has the latter
        [ "$(cat "$mark" 2>/dev/null)" = "$recipe" ] && return 0
    done
    python=$(newest_python) || return 1
    if [ ! -x "$venv/bin/python" ]; then
        echo "Making a virtual environment in $venv (once)." >&2
        "$python" -m venv "$venv" || return 1
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -e "$checkout$extras" || return 1
    echo "$recipe" >"$mark"
}

# A Python from 3.11 on that can make virtual environments.
newest_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if ! "$candidate" -c 'import ensurepip' 2>/dev/null; then
            # Debian keeps this part of Python in a package of its own.
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
                { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install python3-venv; } >&2 || return 1
            else
                echo "$candidate lacks venv. On Debian: sudo apt-get install python3-venv" >&2
                return 1
            fi
        fi
        echo "$candidate"
        return 0
    done
    echo "No Python from 3.11 on. On Debian: sudo apt-get install python3 python3-venv; on macOS: brew install python" >&2
    return 1
}
