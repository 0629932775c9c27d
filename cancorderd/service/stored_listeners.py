"""Listening sockets that a service manager keeps while the daemon restarts.

The shell around `inherited_sockets`, which decides which sockets fit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from cancorderd.service.inherited_sockets import InheritedSocket, fitting, misfits, parse_name, uncovered
from cancorderd.supervisor.listeners import (
    ListenerKeeper,
    ListenRequest,
    Renewal,
    close_all,
    listen,
    shut_down,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cancorderd.service.systemd import ServiceManager

log = logging.getLogger("cancorderd")


class StoredListeners(ListenerKeeper):
    """Uses inherited sockets, and stores all others. After `end`, closed sockets stay stored."""

    def __init__(self, manager: ServiceManager, descriptors: Iterable[tuple[int, str]]) -> None:
        self._manager = manager
        self._ending = False
        self._inherited = [sock for descriptor, name in descriptors if (sock := _describe(descriptor, name))]

    def prepare(self, requests: Mapping[str, ListenRequest]) -> None:
        useless = misfits(self._inherited, requests)
        for sock in useless:
            if sock.stored:
                self._inherited.remove(sock)
                shut_down(socket.socket(fileno=sock.descriptor))
            else:
                log.warning(
                    "systemd's socket unit has port %d for bus %s, whose settings do not fit it: clients that "
                    "connect there wait for ever. Correct port and listen, or ListenStream= and "
                    "FileDescriptorName= of the unit.",
                    sock.port, sock.bus,
                )  # fmt: skip
        # Stored sockets can only be removed all at once for a bus; those that fit are stored again.
        for bus in {sock.bus for sock in useless if sock.stored}:
            self._manager.remove(bus)
            for sock in self._inherited:
                if sock.stored and sock.bus == bus:
                    with contextlib.closing(_copy(sock)) as copy:
                        self._manager.store(bus, [copy])

    def inherited_port(self, bus: str, addresses: Sequence[str]) -> int | None:
        found = fitting(self._inherited, bus, ListenRequest(addresses, None))
        return found[0].port if found else None

    def open(self, bus: str, addresses: Sequence[str], port: int) -> list[socket.socket]:
        found = fitting(self._inherited, bus, ListenRequest(addresses, port))
        bound = listen(uncovered(addresses, found), port)
        self.adopt(bus, bound)
        return [self._use(sock) for sock in found] + bound

    def adopt(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        self._manager.store(bus, sockets)

    def close(self, bus: str, sockets: list[socket.socket]) -> None:
        if self._ending or not sockets:
            close_all(sockets)
            return
        for sock in sockets:
            if self._belongs_to_unit(sock):
                sock.close()
            else:
                shut_down(sock)
        self._manager.remove(bus)

    def replace(self, bus: str, renewal: Renewal) -> None:
        self.close(bus, renewal.stale)
        # Stored sockets can only be removed all at once for a bus.
        kept = [sock for sock in renewal.kept if renewal.stale and not self._belongs_to_unit(sock)]
        self.adopt(bus, kept + renewal.fresh)

    def end(self) -> None:
        """Leave the stored sockets to the next daemon."""
        self._ending = True

    def _belongs_to_unit(self, sock: socket.socket) -> bool:
        units = [os.fstat(inherited.descriptor) for inherited in self._inherited]
        return any(os.path.samestat(os.fstat(sock.fileno()), unit) for unit in units)

    def _use(self, inherited: InheritedSocket) -> socket.socket:
        """Return the socket; a copy if it belongs to a socket unit, since the bus may want it again."""
        if not inherited.stored:
            return _copy(inherited)
        self._inherited.remove(inherited)
        sock = socket.socket(fileno=inherited.descriptor)
        sock.setblocking(False)
        return sock


def _describe(descriptor: int, name: str) -> InheritedSocket | None:
    """Return a description of an inherited descriptor; closes it and returns None if it is no TCP listener."""
    os.set_inheritable(descriptor, False)
    bus, stored = parse_name(name)
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        log.warning("systemd passed %s, which is not a listening TCP socket: closed", name)
        sock.close()
        return None
    host, port = sock.getsockname()[:2]
    covers = {host}
    if host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        covers.add("0.0.0.0")
    sock.detach()
    return InheritedSocket(bus, stored, frozenset(covers), port, descriptor)


def _copy(inherited: InheritedSocket) -> socket.socket:
    sock = socket.socket(fileno=os.dup(inherited.descriptor))
    sock.setblocking(False)
    return sock
