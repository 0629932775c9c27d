"""The TCP clients of one bus: accepted, sent to, watched, handed over. What to drop, `fanout` decides.

Non-blocking throughout: a client that does not read costs its own backlog and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import selectors
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.keepalive import keep_alive
from cancorderd.report import Client, ClientReport
from cancorderd.worker.fanout import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.model import BusBase
    from cancorderd.frame import Batch

_USER_TIMEOUT_MS = 120_000
"""A peer that acknowledges nothing for so long is gone. It ends a client that stalls for so long, too:
Linux applies it to the probes of a closed window (net/ipv4/tcp_timer.c, tcp_probe_timer)."""
_SEND_BUFFER = 256 << 10
"""Left alone, the kernel lets a stalled client's grow to 4 MB, beside the backlog that is counted here. This
much is a quarter of a second of the busiest bus: no link is slow enough to need more."""
_ACCEPTS_AT_ONCE = 16
_DISCARD_BYTES = 1 << 16


class _Connection:
    """One client, or a tap (`report.Client`)."""

    __slots__ = ("address", "backlog", "connected_at", "new", "socket", "tap")

    def __init__(
        self, sock: socket.socket, address: str, connected_at: float, limit: int, *, tap: bool = False
    ) -> None:
        self.socket = sock
        self.address = address
        self.connected_at = connected_at
        self.backlog = Backlog(limit)
        self.tap = tap
        self.new = True
        """Until the source has been told of it."""


class Server:
    """Serves batches to every client. Its sockets sit in the caller's selector with a callback each."""

    def __init__(
        self, section: BusBase, selector: selectors.BaseSelector, notice: Callable[[str, str], None]
    ) -> None:
        self._section = section
        self._selector = selector
        self._notice = notice
        self._networks = [ipaddress.ip_network(one, strict=False) for one in section.allow]
        self._listeners: list[socket.socket] = []
        self._clients: dict[int, _Connection] = {}
        self.lost = 0
        """Frames dropped, one for each client that missed it."""
        self.lost_taps = 0
        self._taps = 0
        self._sent_elsewhere = 0
        """Frames that clients had got before they came here, less what was sent to those who left."""
        self._bytes_to_gone = 0
        self.audience_changed = True

    @property
    def clients(self) -> int:
        return len(self._clients) - self._taps

    def audience(self) -> tuple[int, int]:
        """How many of the clients were there at the last call already, and how many there are."""
        known = sum(not (one.new or one.tap) for one in self._clients.values())
        for one in self._clients.values():
            one.new = False
        return known, self.clients

    @property
    def sent(self) -> tuple[int, int]:
        """Frames and bytes sent to clients here, by those who are gone too."""
        backlogs = [one.backlog for one in self._clients.values() if not one.tap]
        frames = sum(one.frames_sent for one in backlogs) - self._sent_elsewhere
        return frames, sum(one.bytes_sent for one in backlogs) + self._bytes_to_gone

    def listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, lambda _events: self._accept(listener))

    def reports(self) -> list[ClientReport]:
        return [
            ClientReport(
                one.address,
                one.connected_at,
                one.backlog.frames_sent,
                one.backlog.frames_dropped,
                one.backlog.size,
            )
            for one in self._clients.values()
            if not one.tap
        ]

    def broadcast(self, batch: Batch) -> None:
        """Send to every client, each with one call; what one does not take goes to its backlog."""
        packets, frames = batch
        lost_clients = []
        for connection in self._clients.values():
            backlog = connection.backlog
            if backlog.size:
                if self._drops(connection, batch, 0):
                    lost_clients.append((connection, "reads too slowly (slow_client = disconnect)"))
                continue
            try:
                sent = connection.socket.send(packets)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                lost_clients.append((connection, error.strerror or str(error)))
                continue
            if sent == len(packets):
                backlog.frames_sent += frames
                backlog.bytes_sent += sent
            else:
                self._drops(connection, batch, sent)
                self._watch(connection)
        for connection, why in lost_clients:
            self._forget(connection, why)

    def adopt(self, client: Client, sock: socket.socket, owed: bytes) -> None:
        """Take a client over from the supervisor, which keeps it while no worker runs."""
        if not client.tap and not self._admits(sock.getpeername()[0]):
            sock.close()
            self._notice("info", f"client {client.address} is no longer allowed: disconnected")
            return
        limit = self._section.client_backlog
        connection = _Connection(sock, client.address, client.connected_at, limit, tap=client.tap)
        if not client.tap:
            self._sent_elsewhere += client.frames_sent
        connection.backlog.frames_sent = client.frames_sent
        connection.backlog.frames_dropped = client.frames_dropped
        connection.backlog.take_over(owed, client.frames_owed)
        self._add(connection)

    def hand_over(self) -> list[tuple[Client, socket.socket, bytes]]:
        """Give every client away, with the bytes still owed to it. The sockets stay open."""
        given = []
        for connection in list(self._clients.values()):
            self._selector.unregister(connection.socket)
            backlog = connection.backlog
            owed, frames = backlog.hand_over()
            client = Client(
                connection.address,
                connection.connected_at,
                backlog.frames_sent,
                backlog.frames_dropped,
                frames,
                connection.tap,
            )
            given.append((client, connection.socket, owed))
        self._clients.clear()
        self._taps = 0
        return given

    def close(self) -> None:
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()
        for connection in self._clients.values():
            connection.socket.close()
        self._clients.clear()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EINVAL:  # the supervisor has shut it down: the bus moves or stops
                    self._selector.unregister(listener)
                    self._listeners.remove(listener)
                    listener.close()
                    return
                # gone before it was accepted, or no descriptors left
                self._notice("warning", f"a client could not be accepted: {error.strerror}")
                return
            address = _printable(peer)
            if not self._admits(peer[0]):
                sock.close()
                self._notice("warning", f"client {address} refused: its address is not in allow")
            elif self.clients >= self._section.max_clients:
                sock.close()
                self._notice(
                    "warning", f"client {address} refused: max_clients is {self._section.max_clients}"
                )
            else:
                _tune(sock)
                self._add(_Connection(sock, address, time.time(), self._section.client_backlog))
                self._notice("info", f"client {address} connected")

    def _admits(self, host: str) -> bool:
        if not self._networks:
            return True
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _add(self, connection: _Connection) -> None:
        connection.socket.setblocking(False)
        self._clients[connection.socket.fileno()] = connection
        self._taps += connection.tap
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.backlog.size else 0)
        self._selector.register(connection.socket, events, lambda events: self._serve(connection, events))
        self.audience_changed = True

    def _watch(self, connection: _Connection) -> None:
        """Wake for writing exactly while something is owed."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.backlog.size else 0)
        key = self._selector.get_key(connection.socket)
        if key.events != events:
            self._selector.modify(connection.socket, events, key.data)

    def _serve(self, connection: _Connection, events: int) -> None:
        if connection.socket.fileno() not in self._clients:
            return  # lost earlier in this round of events
        try:
            if events & selectors.EVENT_READ and not connection.socket.recv(_DISCARD_BYTES):
                self._forget(connection, "closed by the client")
                return
            if events & selectors.EVENT_WRITE:
                self._pay(connection)
        except BlockingIOError:
            pass
        except OSError as error:
            self._forget(connection, error.strerror or str(error))

    def _pay(self, connection: _Connection) -> None:
        backlog = connection.backlog
        while backlog.size:
            with backlog.next_bytes() as owed:
                whole = len(owed)
                sent = connection.socket.send(owed)
            backlog.paid(sent)
            if sent < whole:
                break
        self._watch(connection)

    def _drops(self, connection: _Connection, batch: Batch, sent: int) -> bool:
        """Owe the batch; True where the client has to be disconnected for what that dropped."""
        dropped = connection.backlog.owe(batch, sent)
        if connection.tap:
            self.lost_taps += dropped
            return False
        self.lost += dropped
        return bool(dropped) and self._section.slow_client == "disconnect"

    def _forget(self, connection: _Connection, why: str) -> None:
        self._clients.pop(connection.socket.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        connection.socket.close()
        if connection.tap:
            self._taps -= 1
            return
        self.audience_changed = True
        self._sent_elsewhere -= connection.backlog.frames_sent
        self._bytes_to_gone += connection.backlog.bytes_sent
        dropped = connection.backlog.frames_dropped
        lost = f", {dropped} frames were dropped for it" if dropped else ""
        self._notice("info", f"client {connection.address} left: {why}{lost}")


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    keep_alive(sock)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def _printable(peer: tuple[str, int]) -> str:
    host = peer[0].removeprefix("::ffff:")
    return f"[{host}]:{peer[1]}" if ":" in host else f"{host}:{peer[1]}"
