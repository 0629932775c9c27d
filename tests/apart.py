"""`unshare --net python -m tests.apart [ARG...]`: pytest in a network namespace of its own, on its loopback.

Ports that tests take for granted are free there, whatever else runs on this machine.
"""

from __future__ import annotations

import signal
import sys

import pytest
from pyroute2 import IPRoute

LOOPBACK = 1
"""Index of `lo`, in each namespace."""


def bring_loopback_up() -> None:
    """Up, and the way for everything, multicast too: there is no other network here."""
    with IPRoute() as routes:
        routes.link("set", index=LOOPBACK, state="up")
        routes.route("add", dst="0.0.0.0/0", oif=LOOPBACK)


if __name__ == "__main__":
    # A shell has what it runs beside itself ignore Ctrl+C, and every process under it would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    bring_loopback_up()
    sys.exit(pytest.main(sys.argv[1:]))
