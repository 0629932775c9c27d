# Sourced by contrib/demo, tests/run and others: makes the virtual environment, .venv in the checkout.
# shellcheck shell=sh

# environment CHECKOUT EXTRAS [PIP-OPTION...]: sets $venv; installs only if something has changed since the last time.
environment() {
    checkout=$1 extras=$2
    shift 2
    venv=$checkout/.venv
    if ! mkdir -p "$venv" 2>/dev/null; then
        echo "$venv: cannot be made. Put the checkout into a folder of your own." >&2
        return 1
    fi
    recipe=$({ echo "$venv" && cat "$checkout/pyproject.toml" "$checkout/tests/requirements.txt" "$checkout/contrib/environment.sh"; } | cksum)
    for mark in "$venv/installed[test]" "$venv/installed$extras"; do # the former includes the latter
        [ "$(cat "$mark" 2>/dev/null)" = "$recipe" ] && return 0
    done
    python=$(newest_python) || return 1
    # Its scripts hold its path: a checkout that was moved or copied needs another.
    if [ ! -x "$venv/bin/python" ] || ! grep -qF "$venv/bin/" "$venv/bin/pip"; then
        echo "Making a virtual environment in $venv (once)." >&2
        "$python" -m venv --clear "$venv" || return 1
    fi
    echo "Installing cancorderd$extras and its dependencies into $venv." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -e "$checkout$extras" || return 1
    echo "$recipe" >"$mark"
}

# Print a Python 3.11 or later that can make virtual environments.
newest_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        # Debian keeps this part of Python in a package of its own.
        if ! "$candidate" -c 'import ensurepip' 2>/dev/null && ! debian_packages python3-venv; then
            echo "$candidate lacks venv." >&2
            return 1
        fi
        echo "$candidate"
        return 0
    done
    echo "No Python 3.11 or later. On Debian: sudo apt-get install python3 python3-venv; on macOS: brew install python" >&2
    return 1
}

# debian_packages PACKAGE...: installs packages of Debian and asks nothing; fails, with the reason, if it cannot.
debian_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "Missing: $*. This script can install them on Debian only." >&2
        return 1
    elif [ "$(id -u)" != 0 ]; then
        echo "Missing: $*. As root: apt-get install --no-install-recommends $*" >&2
        return 1
    fi
    echo "Installing Debian packages: $*" >&2
    log=$(mktemp)
    status=0
    (
        flock 8 # two scripts at once: apt would fail
        apt-get -q -q update >"$log" 2>&1 || echo "Some of apt's sources cannot be read; continuing with the others." >&2
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@" \
            >>"$log" 2>&1
    ) 8>"${TMPDIR:-/tmp}/cancorder-packages.lock" || status=$?
    [ "$status" = 0 ] || tail -n 20 "$log" >&2
    rm -f "$log"
    return "$status"
}
