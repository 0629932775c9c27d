"""The buses' listening sockets, where a service manager keeps them while the daemon restarts.

A shell around `handed`, which decides what fits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from cancorderd.service.handed import Handed, Wish, fitting, misfits, missing, named
from cancorderd.supervisor import ports
from cancorderd.supervisor.ports import PortKeeper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cancorderd.service.systemd import ServiceManager

log = logging.getLogger("cancorderd")


class StoredPorts(PortKeeper):
    """Takes what was handed over, stores what is bound. After `end`, what is closed stays stored."""

    def __init__(self, manager: ServiceManager, descriptors: Iterable[tuple[int, str]]) -> None:
        self._manager = manager
        self._ending = False
        self._waiting = [one for pair in descriptors if (one := _described(*pair))]

    def settle(self, wishes: Mapping[str, tuple[Sequence[str], int | None]]) -> None:
        useless = misfits(self._waiting, {bus: Wish(*wish) for bus, wish in wishes.items()})
        for one in useless:
            if one.kept:
                self._waiting.remove(one)
                _shut(socket.socket(fileno=one.descriptor))
            else:
                log.warning(
                    "systemd's socket unit has port %d for bus %s, whose settings do not fit it: clients that "
                    "connect there wait for ever. Correct port and listen, or ListenStream= and "
                    "FileDescriptorName= of the unit.",
                    one.port, one.bus,
                )  # fmt: skip
        for bus in {one.bus for one in useless if one.kept}:
            self._manager.forget(bus)
            for one in self._waiting:
                if one.kept and one.bus == bus:
                    with contextlib.closing(_copy(one)) as again:
                        self._manager.store(bus, [again])

    def port_of(self, bus: str, listen: Sequence[str]) -> int | None:
        found = fitting(self._waiting, bus, Wish(listen, None))
        return found[0].port if found else None

    def listen(self, bus: str, listen_on: Sequence[str], port: int) -> list[socket.socket]:
        found = fitting(self._waiting, bus, Wish(listen_on, port))
        bound = ports.listen(missing(listen_on, found), port)
        self.keep(bus, bound)
        return [self._take(one) for one in found] + bound

    def keep(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        self._manager.store(bus, sockets)

    def release(self, bus: str, sockets: list[socket.socket]) -> None:
        if self._ending or not sockets:
            ports.close(sockets)
            return
        lasting = [os.fstat(one.descriptor) for one in self._waiting]
        for sock in sockets:
            if any(os.path.samestat(os.fstat(sock.fileno()), one) for one in lasting):
                sock.close()
            else:
                _shut(sock)
        self._manager.forget(bus)

    def end(self) -> None:
        """The daemon ends: the next one takes the sockets."""
        self._ending = True

    def _take(self, one: Handed) -> socket.socket:
        """The socket itself; of one that belongs to a socket unit a copy, for the bus may want it again."""
        if not one.kept:
            return _copy(one)
        self._waiting.remove(one)
        sock = socket.socket(fileno=one.descriptor)
        sock.setblocking(False)
        return sock


def _described(descriptor: int, name: str) -> Handed | None:
    """What was handed over, or None for what is no listening TCP socket; that is closed."""
    os.set_inheritable(descriptor, False)
    bus, kept = named(name)
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        log.warning("systemd handed over %s, which is no listening TCP socket: closed", name)
        sock.close()
        return None
    host, port = sock.getsockname()[:2]
    covers = {host}
    if host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        covers.add("0.0.0.0")
    sock.detach()
    return Handed(bus, kept, frozenset(covers), port, descriptor)


def _copy(one: Handed) -> socket.socket:
    sock = socket.socket(fileno=os.dup(one.descriptor))
    sock.setblocking(False)
    return sock


def _shut(sock: socket.socket) -> None:
    """Close the port at once, whoever has a copy of the socket: the manager, or a worker that ends."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
