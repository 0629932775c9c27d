"""Sources of `cancorderctl dump` and `verify`: buses of the daemon by name, loggers anywhere by address or Zeroconf name."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import candump_filters, hub_stream
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.cli.ctl.dump_source import DumpSource
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.client import connect_to
from cancorderd.client.connection import Connection, connect_any
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit
from cancorderd.protocol.addresses import address_text
from cancorderd.protocol.interface_names import interface_names
from cancorderd.protocol.internal_packets import InternalDecoder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from cancorderd.cli.ctl.dump_source import FrameStream
    from cancorderd.control.protocol import BusStatus

_LOCAL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of this machine, and the address for connecting from here."""
_TIMEOUT_S = 3.0
_CONNECT_S = 5.0
_STATES_WITHOUT_SERVER = ("failed", "stopped", "disabled")


def open_sources(
    arguments: Sequence[str],
    control_socket: str | None,
    *,
    errors: bool = False,
    lasting: bool = False,
    hub: argparse.Namespace | None = None,
) -> list[DumpSource]:
    """Connect to each of `arguments`: BUS, HOST:PORT, zeroconf:NAME or nats:GATEWAY/BUS, followed by candump's filters.

    `hub` are the options of `hub_stream.add_arguments`.
    With `errors`, each has to be a bus; remote and error frames are among its frames. With `lasting`, a stream that ends is
    waited for. Raises ControlError for the first
    that fails.
    """
    try:
        parts = [candump_filters.split(argument, errors=errors) for argument in arguments]
        if errors and (remote := [name for name, _ in parts if ":" in name]):
            raise ControlError(
                f"{remote[0]}: error frames are never sent over the network. Run this command on the machine of the "
                "bus, with the name of the bus.",
                Exit.USAGE,
            )
        buses = _buses([name for name, _ in parts if ":" not in name], control_socket)
        with ExitStack() as stack:
            sources = []
            for name, filters in parts:
                if bus := buses.get(name):
                    own = _OwnBus(bus, control_socket, errors=errors)
                    source = DumpSource(
                        name, filters, own.connect,
                        database=bus.get("database"), lasting=lasting, why_waiting=own.why_waiting,
                    )  # fmt: skip
                elif name.startswith(hub_stream.PREFIX):
                    source = DumpSource(name, filters, partial(hub_stream.open_hub_stream, name, hub))
                else:
                    source = DumpSource(name, filters, partial(connect_to, name), lasting=lasting)
                stack.callback(source.close)
                sources.append(source)
            stack.pop_all()
    except (OSError, ValueError) as error:
        raise ControlError(str(error), Exit.FAILED) from error
    return sources


def label_as_interfaces(sources: Sequence[DumpSource]) -> None:
    """Label the sources as interfaces, for a log that canplayer and others read."""
    names = interface_names({source.name: source.label for source in sources})
    for source in sources:
        source.label = names[source.name]


def frames_dropped(sources: Iterable[DumpSource], control_socket: str | None) -> int:
    """Return the number of frames that this machine's daemon dropped for these sources; 0 if it does not answer."""
    own = {_own_address(source.connection) for source in sources} - {""}
    try:
        status = ControlClient(control_socket, _TIMEOUT_S).status()
    except ControlError:
        return 0
    clients = (client for bus in status["buses"] for client in bus["clients"])
    return sum(client["frames_dropped"] for client in clients if client["address"] in own)


def reader_losses(sources: Iterable[DumpSource], control_socket: str | None) -> dict[str, int]:
    """Return the frames that each bus has dropped for readers of the control socket; empty if the daemon does not answer."""
    names = {source.name for source in sources}
    try:
        buses = ControlClient(control_socket, _TIMEOUT_S).status()["buses"]
    except ControlError:
        return {}
    return {bus["name"]: bus["readers"]["frames_dropped"] for bus in buses if bus["name"] in names}


def local_addresses(listen: Sequence[str], missing: Sequence[str] = ()) -> list[str]:
    """Return the addresses for connecting from this machine to a port that listens on these, but for missing ones."""
    present = [address for address in listen if address not in missing] or listen
    return [_LOCAL_ADDRESSES.get(address, address) for address in present]


def _buses(names: list[str], control_socket: str | None) -> dict[str, BusStatus]:
    """Return the status of these buses, by name. Without names, the daemon need not run."""
    if not names:
        return {}
    status = ControlClient(control_socket).status()
    return {bus["name"]: bus for bus in select_buses(status["buses"], names)}


class _OwnBus:
    """A bus of this machine's daemon, whose status is asked for before each connection but the first."""

    def __init__(self, status: BusStatus, control_socket: str | None, *, errors: bool) -> None:
        self._name = status["name"]
        self._status: BusStatus | None = status
        self._control_socket = control_socket
        self._errors = errors

    def connect(self) -> Connection:
        """Raises OSError or ControlError."""
        bus = self._status or _buses([self._name], self._control_socket)[self._name]
        self._status = None
        if not self._errors:
            return _connect_to_bus(bus)
        sock = ControlClient(self._control_socket).frames(self._name)
        if why := _why_waiting(bus):
            print_error(why)
        return Connection(sock, self._name, decoder=InternalDecoder())

    def why_waiting(self) -> str:
        """Return a sentence if the bus does not run; nothing if it does, or if the daemon does not answer."""
        try:
            status = ControlClient(self._control_socket, _TIMEOUT_S).status()
        except ControlError:
            return ""
        return next((_why_waiting(bus) for bus in status["buses"] if bus["name"] == self._name), "")


def _why_waiting(bus: BusStatus) -> str:
    if bus["state"] == "running":
        return ""
    return f"{bus['name']} is {bus['state']}: {bus['reason'] or 'no frames yet.'}"


def _connect_to_bus(bus: BusStatus) -> Connection:
    if bus["port"] is None:
        raise ControlError(
            f"{bus['name']} is {bus['state']}: it has no port. Start it: cancorderctl start {bus['name']}, "
            "or remove enabled = false and reload.",
            Exit.FAILED,
        )
    if bus["state"] in _STATES_WITHOUT_SERVER:  # whatever listens on its port may be another program
        reason = f": {bus['reason']} Then start it" if bus["reason"] else ". Start it"
        raise ControlError(
            f"{bus['name']} is {bus['state']}{reason}: cancorderctl start {bus['name']}", Exit.FAILED
        )
    if why := _why_waiting(bus):
        print_error(why)
    hosts = local_addresses(bus["listen"], bus.get("listen_missing", ()))
    return connect_any(hosts, bus["port"], address_text(hosts[0], bus["port"]), timeout_s=_CONNECT_S)


def _own_address(connection: FrameStream) -> str:
    """Return our end of the connection as the daemon writes it; empty if the connection is closed."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            own = sock.getsockname()
            return address_text(*own[:2]) if isinstance(own, tuple) else ""
    except OSError:
        return ""
