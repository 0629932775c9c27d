"""What control server and client agree on: paths, rights, exit statuses. Pure, and light to import."""

from __future__ import annotations

import enum
import os
import tempfile

DEFAULT_SOCKET = "/run/cancorder/control.sock"
GROUP = "cancorder"
"""Members may read the status; root and the daemon's own user may change things."""

STATUS = "/v1/status"
EVENTS = "/v1/events"
RELOAD = "/v1/reload"
VERBS = ("start", "stop", "restart")


class Exit(enum.IntEnum):
    """Exit statuses of the commands."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ALL_RUNNING = 3
    """`status`: a bus that should run does not."""
    NO_PERMISSION = 4
    NOT_RUNNING = 7
    """The daemon is not running."""
    MISTAKES = 78
    """EX_CONFIG, from `cancorderd` to systemd alone: the file has mistakes, so that trying again is pointless."""


GOOD_STATES = frozenset({"running", "disabled", "stopped"})
"""States of a bus that is as it should be; in any other, it should run and does not."""


def bus_path(name: str, verb: str) -> str:
    return f"/v1/buses/{name}/{verb}"


def may_change(user: int, own_user: int) -> bool:
    """Root and the daemon's own user may start, stop, restart and reload."""
    return user in (0, own_user)


def demo_folder(user: int) -> str:
    """Where `cancorderd --demo` of this user keeps its socket: a folder that only this user can enter."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/cancorder" if runtime else f"{tempfile.gettempdir()}/cancorder-{user}"


def sockets_to_try(user: int) -> list[str]:
    """Where a command without --socket looks for the daemon: the service first, then the user's demo."""
    return [DEFAULT_SOCKET, f"{demo_folder(user)}/control.sock"]
