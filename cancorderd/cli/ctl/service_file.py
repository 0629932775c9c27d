"""The configuration file that a command means if it names none."""

from __future__ import annotations

from cancorderd.cli.configuration_file import DEFAULT_FILE
from cancorderd.control.client import ControlClient, ControlError

WHICH = f"that of the running daemon, else {DEFAULT_FILE}"
"""For the help of the argument that names a file."""
_TIMEOUT_S = 3.0


def service_file(named: str | None, control_socket: str | None) -> str:
    """Return the `named` file; without one, the file of the daemon that runs, or else the service's."""
    if named is not None:
        return named
    try:
        return ControlClient(control_socket, _TIMEOUT_S).status()["config"] or DEFAULT_FILE
    except ControlError:  # it does not run, does not answer, or this user may not ask
        return DEFAULT_FILE
