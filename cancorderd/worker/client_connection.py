"""One TCP client of a bus: its socket, with the options that it needs, its backlog, and the host that it counts for."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket

from cancorderd.protocol.tcp_options import keep_alive
from cancorderd.worker.backlog import Backlog

_USER_TIMEOUT_MS = 120_000
"""A peer that acknowledges nothing for this long is considered gone. This also ends a client that stalls for
so long: Linux applies it to the probes of a closed window (net/ipv4/tcp_timer.c, tcp_probe_timer)."""
_SEND_BUFFER = 256 << 10
"""By default the kernel lets the buffer of a stalled client grow to 4 MB, in addition to the backlog, which is
counted here. This size is a quarter of a second of the busiest bus: no link is slow enough to need more."""
_DRIVERS_FROM, _SELECT_LIMIT = 512, 1024
"""Descriptors that are left to the driver."""


class ClientConnection:
    """A client, or a tap (see `ClientHandover.tap`)."""

    __slots__ = (
        "address",
        "backlog",
        "connected_at_s",
        "events",
        "host",
        "internal",
        "marked",
        "moved",
        "new",
        "reads",
        "socket",
        "tap",
    )

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        host: str,
        connected_at_s: float,
        limit: int,
        *,
        tap: bool = False,
        marked: bool = False,
        internal: bool = False,
    ) -> None:
        self.socket = sock
        self.address = address
        self.host = host
        """The host that counts for `max_clients_per_host`; empty if none does."""
        self.connected_at_s = connected_at_s
        self.backlog = Backlog(limit)
        self.tap = tap
        self.marked = marked
        self.internal = internal
        """Whether its stream has remote and error frames, too: see `ClientHandover.internal`."""
        self.new = True
        """True until `ClientServer.audience` has counted it."""
        self.moved = (0, 0.0)
        """Bytes sent when it was last seen to take some, and when that was (see `ClientServer.room`)."""
        self.reads = 0
        """Number of reads in this second."""
        self.events = 0
        """Events for which the selector watches the socket."""


def set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    keep_alive(sock)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def make_way(connection: ClientConnection) -> None:
    """Leave the upper half of the descriptors up to 1023 to the driver: many drivers use select(), which takes no more."""
    if _DRIVERS_FROM <= connection.socket.fileno() < _SELECT_LIMIT:
        with contextlib.suppress(OSError):  # the limit of open files is lower
            descriptor = fcntl.fcntl(connection.socket, fcntl.F_DUPFD_CLOEXEC, _SELECT_LIMIT)
            connection.socket.close()
            connection.socket = socket.socket(fileno=descriptor)
            connection.socket.setblocking(False)


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a peer; a client of IPv4 is known by its address of IPv4, on any socket."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def counted_host(host: str) -> str:
    """Return the host that counts for `max_clients_per_host`: a zone belongs to it, and loopback never counts."""
    if not host or ip_address(host).is_loopback:
        return ""
    return host.removeprefix("::ffff:")
