"""What people dump: a bus of the daemon by its name, or a logger anywhere by its address or Zeroconf name."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.cli import candump_filters
from cancorderd.cli.names import chosen
from cancorderd.cli.terminal import complain
from cancorderd.client import connect, connect_to
from cancorderd.client.channel import ZEROCONF
from cancorderd.client.connection import written
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit
from cancorderd.wire import SERVICE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cancorderd.cli.candump_filters import Filters
    from cancorderd.client import Connection

_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on that stand for all of this machine, and how they are reached from here."""
_TIMEOUT_S = 3.0
_UNSERVED = ("failed", "stopped", "disabled")


class Stream(NamedTuple):
    """A connection, and which of its frames are wanted."""

    name: str
    """What stands in each line: the bus, or where it is. Without blanks, which logs are split at."""
    connection: Connection
    filters: Filters


def opened(texts: Sequence[str], control_socket: str | None) -> list[Stream]:
    """A connection for each of `texts`: BUS, HOST:PORT or zeroconf:NAME, with candump's filters behind it.

    Raises ControlError for the first that cannot be had.
    """
    try:
        parts = [candump_filters.split(text) for text in texts]
        buses = _buses([name for name, _ in parts if ":" not in name], control_socket)
        with ExitStack() as stack:
            streams = []
            for name, filters in parts:
                connection = _to_bus(buses[name]) if name in buses else connect_to(name)
                stack.callback(connection.close)
                streams.append(Stream(_label(name), connection, filters))
            stack.pop_all()
    except (OSError, ValueError) as error:
        raise ControlError(str(error), Exit.FAILED) from error
    return streams


def _buses(names: list[str], control_socket: str | None) -> dict[str, dict[str, Any]]:
    """The status of these buses, by name; without names no daemon is asked."""
    if not names:
        return {}
    status = ControlClient(control_socket).ask("GET", protocol.STATUS)
    return {bus["name"]: bus for bus in chosen(status["buses"], names)}


def _to_bus(bus: dict[str, Any]) -> Connection:
    if bus["port"] is None:
        raise ControlError(
            f"{bus['name']} is {bus['state']}: it has no port. Start it: cancorderctl start {bus['name']}, "
            "or remove enabled = false and reload.",
            Exit.FAILED,
        )
    if bus["state"] in _UNSERVED:  # whatever listens on its port may be another program
        why = f": {bus['reason']} Then start it" if bus["reason"] else ". Start it"
        raise ControlError(
            f"{bus['name']} is {bus['state']}{why}: cancorderctl start {bus['name']}", Exit.FAILED
        )
    if bus["state"] != "running":
        complain(f"{bus['name']} is {bus['state']}: {bus['reason'] or 'no frames yet.'}")
    return connect(reached_at(bus["listen"]), bus["port"])


def reached_at(listen: Sequence[str]) -> str:
    """The address by which a port that listens on these is reached from this machine."""
    return _REACHED.get(listen[0], listen[0]) if listen else "127.0.0.1"


def _label(name: str) -> str:
    named = name.removeprefix(ZEROCONF).removeprefix(f"{SERVICE_PREFIX} ")
    return "_".join(named.split())


def frames_dropped(streams: Iterable[Stream], control_socket: str | None) -> int:
    """Frames that the daemon of this machine could not deliver to these; 0 where it cannot be asked."""
    own = {_own_address(stream.connection) for stream in streams}
    try:
        status = ControlClient(control_socket, _TIMEOUT_S).ask("GET", protocol.STATUS)
    except ControlError:
        return 0
    clients = (client for bus in status["buses"] for client in bus["clients"])
    return sum(client["frames_dropped"] for client in clients if client["address"] in own)


def _own_address(connection: Connection) -> str:
    """Our end, as the daemon writes it; empty for a connection that is over."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            return written(*sock.getsockname()[:2])
    except OSError:
        return ""
