"""Sources of `cancorderctl dump` and `verify`: buses of the daemon by name, loggers anywhere by address or Zeroconf name."""

from __future__ import annotations

import math
import os
import selectors
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cancorderd.cli.ctl import candump_filters, hub_stream
from cancorderd.cli.ctl.bus_names import select_buses
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.client import BordersLost, connect_to
from cancorderd.client.address import ZEROCONF
from cancorderd.client.connection import Connection, connect_any
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit
from cancorderd.protocol.addresses import address_text
from cancorderd.protocol.interface_names import interface_names
from cancorderd.protocol.internal_packets import InternalDecoder
from cancorderd.protocol.packets import WireError
from cancorderd.protocol.service_names import SERVICE_PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cancorderd.cli.ctl.candump_filters import FrameFilter
    from cancorderd.control.protocol import BusStatus
    from cancorderd.protocol.frame import Frame

_LOCAL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of this machine, and the address for connecting from here."""
_TIMEOUT_S = 3.0
_CONNECT_S = 5.0
_RECONNECT_S = 1.0
_STATES_WITHOUT_SERVER = ("failed", "stopped", "disabled")


class FrameStream(Protocol):
    """An open stream of frames: a `client.Connection`, or a bus at a hub."""

    @property
    def name(self) -> str: ...
    @property
    def packets_repaired(self) -> int: ...
    @property
    def packets_skipped(self) -> int: ...
    @property
    def first_fault(self) -> str: ...
    def fileno(self) -> int: ...
    def receive_available(self) -> list[Frame]: ...
    def close(self) -> None: ...


class DumpSource:
    """A bus or logger, the connection to it, and the filter for its frames."""

    def __init__(
        self, name: str, filters: FrameFilter, connect: Callable[[], FrameStream], database: str | None = None
    ) -> None:
        """Connect; `connect` is called again if the stream is damaged."""
        self.database = database
        """Path of the database that the configuration gives the bus, if any."""
        self.name = name
        """The source as it was named on the command line."""
        self.label = _label(name)
        """Name of the source in each line: the bus or the address. Without spaces, which separate a log's columns."""
        self.connection = connect()
        self.ended = False
        """Whether the stream is over, for whatever reason."""
        self.finished = False
        """Whether all frames that were asked for have come."""
        self.damaged = False
        """Whether `reconnect` is to be called after `wait_s`: the borders of the packets are lost."""
        self._filters = filters
        self._connect = connect
        self._connected_at_s = time.monotonic()
        self._repaired = self._skipped = 0
        """Odd packets of earlier connections."""
        self._fault_printed = False

    def read(self) -> list[Frame] | None:
        """Return the frames that have arrived and pass the filter; None, after a message, if the stream is over."""
        try:
            frames = self.connection.receive_available()
        except BordersLost as error:
            print_error(f"{error} (This command does so by itself.)")
            self.damaged = True
            return None
        except hub_stream.WantedEnd:
            self.finished = True
            return None
        except (OSError, WireError) as error:
            print_error(str(error))
            return None
        if not self._fault_printed and (fault := self.connection.first_fault):
            self._fault_printed = True
            print_error(fault)
        return [frame for frame in frames if self._filters.passes(frame)]

    def wait_s(self, now_s: float) -> float:
        """Return the time until `reconnect`: at most once a second."""
        return max(0.0, self._connected_at_s + _RECONNECT_S - now_s)

    def reconnect(self) -> bool:
        """Connect again; return False, after a message, if that fails."""
        damaged = self.connection
        damaged.close()
        self.damaged = False
        try:
            self.connection = self._connect()
        except (OSError, ValueError, ControlError) as error:
            print_error(str(error))
            return False
        self._repaired += damaged.packets_repaired
        self._skipped += damaged.packets_skipped
        self._connected_at_s = time.monotonic()
        return True

    def close(self) -> None:
        """Disconnect, and print the number of odd packets."""
        self.connection.close()
        repaired = self._repaired + self.connection.packets_repaired
        skipped = self._skipped + self.connection.packets_skipped
        if repaired or skipped:
            print_error(f"{self.connection.name}: packets repaired: {repaired}, skipped: {skipped}.")


def open_sources(
    arguments: Sequence[str],
    control_socket: str | None,
    *,
    errors: bool = False,
    hub: argparse.Namespace | None = None,
) -> list[DumpSource]:
    """Connect to each of `arguments`: BUS, HOST:PORT, zeroconf:NAME or nats:GATEWAY/BUS, followed by candump's filters.

    `hub` are the options of `hub_stream.add_arguments`.
    With `errors`, each has to be a bus; remote and error frames are among its frames. Raises ControlError for the first
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
                connect: Callable[[], FrameStream]
                if name.startswith(hub_stream.PREFIX):
                    connect = partial(hub_stream.open_hub_stream, name, hub)
                elif name not in buses:
                    connect = partial(connect_to, name)
                elif errors:
                    connect = partial(_read_all_frames, buses[name], control_socket)
                else:
                    connect = partial(_connect_to_bus, buses[name])
                database = buses[name].get("database") if name in buses else None
                source = DumpSource(name, filters, connect, database)
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


def arrivals(
    sources: Sequence[DumpSource], until_s: float = math.inf, *, silence_s: float = math.inf
) -> Iterator[list[tuple[str, Frame]]]:
    """Yield frames as they arrive, with the labels of their sources, until every source has ended.

    `until_s` is the monotonic time at which to end in any case; `silence_s` a time without any frame that passes, which
    ends them as well.
    """
    end_s = until_s
    until_s = min(end_s, time.monotonic() + silence_s)
    with selectors.DefaultSelector() as selector:
        for source in sources:
            selector.register(source.connection, selectors.EVENT_READ, source)
        while selector.get_map() or any(source.damaged for source in sources):
            now_s = time.monotonic()
            if now_s >= until_s:
                return
            waits_s = [source.wait_s(now_s) for source in sources if source.damaged]
            wait_s = min([until_s - now_s, *waits_s])
            for key, _ in selector.select(None if wait_s == math.inf else wait_s):
                ready: DumpSource = key.data
                frames = ready.read()
                if frames is None:
                    ready.ended = not ready.damaged
                    selector.unregister(key.fileobj)
                else:
                    if frames:
                        until_s = min(end_s, time.monotonic() + silence_s)
                    yield [(ready.label, frame) for frame in frames]
            for source in sources:
                if source.damaged and not source.wait_s(time.monotonic()):
                    if source.reconnect():
                        selector.register(source.connection, selectors.EVENT_READ, source)
                    else:
                        source.ended = True


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


def _read_all_frames(bus: BusStatus, control_socket: str | None) -> Connection:
    """Read a bus's frames on the control socket."""
    sock = ControlClient(control_socket).frames(bus["name"])
    _print_unless_running(bus)
    return Connection(sock, bus["name"], decoder=InternalDecoder())


def _print_unless_running(bus: BusStatus) -> None:
    if bus["state"] != "running":
        print_error(f"{bus['name']} is {bus['state']}: {bus['reason'] or 'no frames yet.'}")


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
    _print_unless_running(bus)
    hosts = local_addresses(bus["listen"], bus.get("listen_missing", ()))
    return connect_any(hosts, bus["port"], address_text(hosts[0], bus["port"]), timeout_s=_CONNECT_S)


def _label(name: str) -> str:
    short = name.removeprefix(ZEROCONF).removeprefix(hub_stream.PREFIX).removeprefix(f"{SERVICE_PREFIX} ")
    return "_".join(short.split())


def _own_address(connection: FrameStream) -> str:
    """Return our end of the connection as the daemon writes it; empty if the connection is closed."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as sock:
            own = sock.getsockname()
            return address_text(*own[:2]) if isinstance(own, tuple) else ""
    except OSError:
        return ""
