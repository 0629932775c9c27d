"""Listening sockets, and the automatic ports that are kept across restarts.

Sockets are bound here and stay open while workers come and go, so that connecting never fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

FIRST_AUTOMATIC = 42420
_LAST = 65535
_QUEUE = 512
"""Clients that may connect while a worker or, under systemd, the daemon restarts: more than come in that time."""


class PortTaken(Exception):
    """A port that cannot be bound; `str()` says why and what to do."""


def listen(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets on `port` for every address. Raises PortTaken, with none of them left open.

    IPv6 is left out where the system has none and another address remains.
    """
    try:
        return _all_bound(addresses, port)
    except _BindError as error:
        raise PortTaken(_why(error.address, port, error.cause)) from error.cause


def listen_automatically(
    addresses: Sequence[str], reserved: Collection[int]
) -> tuple[int, list[socket.socket]]:
    """The first free port from 42420 on that is not `reserved`, and its sockets. Raises PortTaken."""
    for port in range(FIRST_AUTOMATIC, _LAST + 1):
        if port not in reserved:
            with contextlib.suppress(_BindError):
                return port, _all_bound(addresses, port)
    raise PortTaken(f"no port from {FIRST_AUTOMATIC} to {_LAST} is free. Set port.")


def close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


class _BindError(Exception):
    """Which address could not be bound, and why."""

    def __init__(self, address: str, cause: OSError) -> None:
        super().__init__(address)
        self.address = address
        self.cause = cause


def _all_bound(addresses: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                sockets.append(_bound(address, port))
            except OSError as error:
                if ":" in address and error.errno == errno.EAFNOSUPPORT and len(addresses) > 1:
                    continue
                raise _BindError(address, error) from error
    except BaseException:
        close(sockets)
        raise
    return sockets


class PortKeeper:
    """Where the buses' listening sockets come from and go to. This one just opens and closes them.

    `service.stored_ports` has one that lets a service manager keep them while the daemon restarts.
    """

    def settle(self, wishes: Mapping[str, tuple[Sequence[str], int | None]]) -> None:
        """Called once, before any bus starts, with the `listen` and port of each: None where any will do."""

    def port_of(self, bus: str, listen: Sequence[str]) -> int | None:  # noqa: ARG002
        """The port of sockets that wait for this bus, for one that has no port of its own."""
        return None

    def listen(self, bus: str, listen_on: Sequence[str], port: int) -> list[socket.socket]:  # noqa: ARG002
        """Sockets on this port for every address. Raises PortTaken."""
        return listen(listen_on, port)

    def keep(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        """Hear of sockets that were bound for a bus without `listen`."""

    def release(self, bus: str, sockets: list[socket.socket]) -> None:  # noqa: ARG002
        """Close a bus's sockets: it stops, goes, or moves to another port."""
        close(sockets)


def _bound(address: str, port: int) -> socket.socket:
    host, _, zone = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port, 0, socket.if_nametoindex(zone) if zone else 0))
        else:
            sock.bind((host, port))
        sock.listen(_QUEUE)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _why(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use{_by_whom(port)}. End that program or choose another port."
    if error.errno == errno.EACCES:
        return f"no permission for port {port}. Choose a port above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address} (yet). Correct listen, or wait for the network."
    return f"{address} port {port}: {error.strerror or error}"


_WHO_LASTS_S = 60.0
_known: dict[int, tuple[float, str]] = {}


def _by_whom(port: int) -> str:
    """As `_look_by_whom`, remembered: a taken port is tried every two seconds, and looking takes long."""
    now_s = time.monotonic()
    looked_s, text = _known.get(port, (-_WHO_LASTS_S, ""))
    if now_s - looked_s >= _WHO_LASTS_S:
        text = _look_by_whom(port)
        _known[port] = (now_s, text)
    return text


def _look_by_whom(port: int) -> str:
    """Words for who listens on `port`, as far as the system tells this user."""
    import psutil  # noqa: PLC0415 - needed only here, for one message

    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f" by {psutil.Process(one.pid).name()} (process {one.pid})"
    except (psutil.Error, OSError):  # a sandbox may hide /proc/net
        pass
    return " by another program"


class PortMemory:
    """Automatic ports by bus, in `ports.toml` of the state folder; in memory where that cannot be written.

    Without a folder nothing is kept.
    """

    def __init__(self, state_dir: str | None) -> None:
        self._ports: dict[str, int] = {}
        self._file = Path(state_dir) / "ports.toml" if state_dir else None
        if self._file is None:
            return
        with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            ports = tomllib.loads(self._file.read_text()).get("ports")
            if isinstance(ports, dict):
                self._ports = {name: port for name, port in ports.items() if isinstance(port, int)}

    def get(self, bus: str) -> int | None:
        return self._ports.get(bus)

    def others(self, bus: str) -> set[int]:
        """Ports that are kept for other buses."""
        return {port for name, port in self._ports.items() if name != bus}

    def remember(self, bus: str, port: int) -> str | None:
        """Keep `port` for `bus`; returns what went wrong with the file, if anything."""
        if self._ports.get(bus) == port:
            return None
        self._ports[bus] = port
        if self._file is None:
            return None
        fresh = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(tomli_w.dumps({"ports": self._ports}))
            os.replace(fresh, self._file)
        except OSError as error:
            return (
                f"{self._file}: {error.strerror}: automatic ports are not kept across restarts. "
                "Set daemon.state_dir to a folder that the daemon may write."
            )
        return None
