"""Run pytest on the loopback of a new network namespace: `unshare --net python -m tests.support.apart [ARG...]`.

Each port is free there, whatever else runs on this machine.
"""

from __future__ import annotations

import signal
import sys

import pytest
from pyroute2 import IPRoute

from tests.support.network_namespace import bring_loopback_up

LOOPBACK = 1
"""Index of `lo`, in each namespace."""


def route_everything_to_loopback() -> None:
    """Make `lo` the default route, also for multicast: the namespace has no other interface."""
    with IPRoute() as routes:
        routes.route("add", dst="0.0.0.0/0", oif=LOOPBACK)


if __name__ == "__main__":
    # A shell makes its background processes ignore Ctrl+C, and their children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    bring_loopback_up()
    route_everything_to_loopback()
    sys.exit(pytest.main(sys.argv[1:]))
