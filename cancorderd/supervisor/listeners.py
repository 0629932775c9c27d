"""Listening sockets of the buses.

They are bound in the supervisor and stay open while workers come and go, so that connecting never fails.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.printable import printable
from cancorderd.protocol.addresses import address_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FIRST_AUTOMATIC = 42420
_LAST = 65535
_QUEUE = 512
"""Clients that may connect while a worker or, under systemd, the daemon restarts: more than come in that time."""


_ABSENT = (errno.EADDRNOTAVAIL, errno.ENODEV)
"""Errors of bind(2) for an address, or the interface of a link-local address, that is not there."""
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
"""From linux/in.h and linux/in6.h."""


class PortUnavailable(Exception):
    """A port that cannot be bound. `str()` gives the reason and the remedy."""

    def __init__(self, reason: str, *, owner: str = "") -> None:
        super().__init__(reason)
        self.owner = owner
        """The program or connection that has the port, so that another port may be free; empty for other reasons."""


class ListenRequest(NamedTuple):
    """The addresses and the port that a bus wants; the port is None if any will do."""

    addresses: Sequence[str]
    port: int | None


class ListenerKeeper:
    """Opens and closes the listening sockets of all buses.

    `service.stored_listeners` has a subclass with which a service manager keeps the sockets while the daemon
    restarts.
    """

    def prepare(self, requests: Mapping[str, ListenRequest]) -> None:
        """Receive the requests of all enabled buses, by name, before any bus starts."""

    def inherited_port(self, bus: str, addresses: Sequence[str]) -> int | None:  # noqa: ARG002
        """Return the port of the sockets that the keeper inherited for this bus, for a bus without `port`."""
        return None

    def open(self, bus: str, addresses: Sequence[str], port: int) -> list[socket.socket]:  # noqa: ARG002
        """Return listening sockets on this port for every address. Raises PortUnavailable."""
        return listen(addresses, port)

    def adopt(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        """Take note of sockets that were bound for this bus without `open`."""

    def replace(self, bus: str, renewal: Renewal) -> None:
        """Close the stale sockets of a bus, and take note of the fresh ones."""
        for sock in renewal.stale:
            shut_down(sock)
        self.adopt(bus, renewal.fresh)

    def close(self, bus: str, sockets: list[socket.socket]) -> None:  # noqa: ARG002
        """Close the sockets of a bus that stops, is removed, or moves to another port."""
        close_all(sockets)


def listen(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Return listening sockets on `port` for all addresses. Raises PortUnavailable, and leaves none open then.

    On Linux, an address need not be on this machine yet. Addresses that cannot be bound without being there are
    skipped: `renew` binds them when they come. IPv6 is skipped on a system without it if there is another address.
    """
    try:
        return _bind_all(addresses, port)
    except _BindError as error:
        raise _unavailable(error, port) from error.cause


def listen_on_free_port(
    addresses: Sequence[str], reserved: Collection[int]
) -> tuple[int, list[socket.socket]]:
    """Return the first free port from 42420 on that is not `reserved`, and its sockets. Raises PortUnavailable."""
    for port in range(FIRST_AUTOMATIC, _LAST + 1):
        if port not in reserved:
            try:
                return port, _bind_all(addresses, port)
            except _BindError as error:
                if error.cause.errno != errno.EADDRINUSE:  # no other port would be better
                    raise _unavailable(error, port) from error.cause
    raise PortUnavailable(f"no port from {FIRST_AUTOMATIC} to {_LAST} is free. Set port.")


class Renewal(NamedTuple):
    """The listening sockets of a bus after addresses have come or gone."""

    kept: list[socket.socket]
    stale: list[socket.socket]
    """Sockets of a network interface that has been replaced: nothing reaches them any more."""
    fresh: list[socket.socket]


def renew(addresses: Sequence[str], port: int | None, sockets: Sequence[socket.socket]) -> Renewal:
    """Bind the addresses that have come since `sockets` were bound; none without a port. Raises nothing."""
    kept: list[socket.socket] = []
    stale: list[socket.socket] = []
    specific = {address: _bind_address(address) for address in addresses if not _is_unspecified(address)}
    for sock in sockets:
        host, scope = _bound_address(sock)
        # The index of an interface is part of a link-local address, and a replugged interface has another.
        (kept if not scope or (host, scope) in specific.values() else stale).append(sock)
    bound = {_bound_address(sock) for sock in kept}
    fresh = []
    for address, wanted in specific.items():
        if port and wanted is not None and wanted not in bound:
            with contextlib.suppress(OSError):
                fresh.append(_bind(address, port))
    return Renewal(kept, stale, fresh)


def missing(addresses: Iterable[str]) -> list[str]:
    """Return the addresses that this machine does not have. 0.0.0.0 and :: are never missing."""
    return [address for address in addresses if not _is_unspecified(address) and not _is_present(address)]


def shut_down(sock: socket.socket) -> None:
    """Close the port at once, even if the service manager or a worker has a copy of the socket."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


class _BindError(Exception):
    """The first address that could not be bound."""

    def __init__(self, address: str, cause: OSError) -> None:
        super().__init__(address)
        self.address = address
        self.cause = cause


def _bind_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                sockets.append(_bind(address, port))
            except OSError as error:
                without_ipv6 = error.errno == errno.EAFNOSUPPORT and ":" in address and len(addresses) > 1
                if not without_ipv6 and error.errno not in _ABSENT:
                    raise _BindError(address, error) from error
    except BaseException:
        close_all(sockets)
        raise
    return sockets


def _bind(address: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError; its errno is in `_ABSENT` if the address has to be waited for."""
    found = _bind_address(address)
    if found is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    host, scope = found
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _allow_absent_address(sock)
        sock.bind((host, port, 0, scope) if family == socket.AF_INET6 else (host, port))
        sock.listen(_QUEUE)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _allow_absent_address(sock: socket.socket) -> None:
    """Let the socket be bound to an address that this machine does not have (yet), if the system can."""
    if sys.platform == "linux":
        level, option = (
            (socket.IPPROTO_IPV6, _IPV6_FREEBIND)
            if sock.family == socket.AF_INET6
            else (socket.IPPROTO_IP, _IP_FREEBIND)
        )
        with contextlib.suppress(OSError):  # IPV6_FREEBIND is of Linux 4.15
            sock.setsockopt(level, option, 1)


def _bind_address(address: str) -> tuple[str, int] | None:
    """Return the host and the index of its interface, which is 0 without a zone; None if there is no such interface."""
    host, _, zone = address.partition("%")
    try:
        return str(ipaddress.ip_address(host)), socket.if_nametoindex(zone) if zone else 0
    except OSError:
        return (host, int(zone)) if zone.isdecimal() else None


def _bound_address(sock: socket.socket) -> tuple[str, int]:
    """Return the same of a socket."""
    name = sock.getsockname()
    return str(ipaddress.ip_address(name[0].partition("%")[0])), name[
        3
    ] if sock.family == socket.AF_INET6 else 0


def _is_unspecified(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_unspecified


def _is_present(address: str) -> bool:
    """Return whether this machine has the address, as far as can be found out now."""
    found = _bind_address(address)
    if found is None:
        return False
    host, scope = found
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0, 0, scope) if ":" in host else (host, 0))
    except OSError as error:
        return error.errno not in (*_ABSENT, errno.EAFNOSUPPORT)
    return True


def _unavailable(error: _BindError, port: int) -> PortUnavailable:
    cause = error.cause
    if cause.errno == errno.EADDRINUSE:
        owner, remedy = _owner(port)
        return PortUnavailable(f"port {port} is in use by {owner}. {remedy}", owner=owner)
    if cause.errno == errno.EACCES:
        return PortUnavailable(f"no permission for port {port}. Choose a port above 1023.")
    if cause.errno == errno.EINVAL and ipaddress.ip_address(error.address).is_link_local:
        return PortUnavailable(
            f"listen: {error.address} is an address of one network interface. Name it, as in {error.address}%eth0."
        )
    return PortUnavailable(f"{error.address} port {port}: {cause.strerror or cause}")


class _Owner(NamedTuple):
    """The program or connection that has a port, and the remedy."""

    text: str
    remedy: str = "End that program or choose another port."


_OWNER_VALID_S = 60.0
_owners: dict[int, tuple[float, _Owner]] = {}
"""By port: the time of the search, and its result."""


def _owner(port: int) -> _Owner:
    """Return the cached result of `_find_owner`: a port is retried every two seconds, and searching takes long."""
    now_s = time.monotonic()
    found = _owners.get(port)
    if found is None or now_s - found[0] >= _OWNER_VALID_S:
        found = _owners[port] = (now_s, _find_owner(port))
    return found[1]


def _find_owner(port: int) -> _Owner:
    """Return the owner of `port`, as far as this user may see it.

    A connection that a program makes has a port of this machine, too; by default Linux takes it from a range
    that includes ours (ip_local_port_range).
    """
    from cancorderd.supervisor.quiet_psutil import psutil  # noqa: PLC0415 - needed only here, for one message

    try:
        found = [one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port]
    except (psutil.Error, OSError):  # a sandbox may hide /proc/net
        found = []
    if not found:
        return _Owner("another program")
    owner = min(found, key=lambda one: (one.status != psutil.CONN_LISTEN, one.pid is None))
    if owner.status == psutil.CONN_LISTEN:
        return _Owner(_program(owner.pid))
    peer = address_text(owner.raddr.ip, owner.raddr.port) if owner.raddr else "another machine"
    if owner.status == psutil.CONN_TIME_WAIT:
        ended = f"a connection to {peer} that ended less than a minute ago"
        return _Owner(ended, "Wait for a minute or choose another port.")
    return _Owner(f"a connection to {peer} of {_program(owner.pid)}")


def _program(pid: int | None) -> str:
    from cancorderd.supervisor.quiet_psutil import psutil  # noqa: PLC0415

    with contextlib.suppress(psutil.Error, OSError):
        if pid:
            return f"{printable(psutil.Process(pid).name())} (process {pid})"
    return "another program"
