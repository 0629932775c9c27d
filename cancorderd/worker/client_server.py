"""TCP server of a bus: admits clients, sends frames to them, hands them over to the next worker.

Non-blocking throughout: a client that does not read fills its own backlog and delays nobody. `backlog`
decides which of its frames are dropped.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import sys
import time
from typing import TYPE_CHECKING, Any

from cancorderd.ipc.messages import MOST_READERS, ClientHandover, ClientReport
from cancorderd.protocol.addresses import address_text
from cancorderd.protocol.audience_mark import audience_mark
from cancorderd.protocol.batch import Batch
from cancorderd.worker.acceptor import Acceptor
from cancorderd.worker.admission import Admission
from cancorderd.worker.backlog import CHUNK_BYTES
from cancorderd.worker.client_connection import (
    ClientConnection,
    counted_host,
    make_way,
    set_options,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from cancorderd.config.bus_settings import BusSettings

_DISCARD_BYTES = 1 << 16
_READS_PER_S = 16
"""A client that sends more often is not read again until the next second: clients have nothing to send."""
_SLACK = 32
"""Beyond the share of all backlogs, this part of it is dropped at once, so that not every batch has to look for more."""
_READER_BACKLOG = 1 << 20
"""Bytes: some 5 s of a busy bus."""
_STALLED_S = 10.0
"""Time after which frames that could wait no longer wait for a client that takes nothing."""
_TOO_SLOW = "reads too slowly (slow_client = disconnect)"


class ClientServer:
    """Sends batches to every client. Its sockets are in the caller's selector, each with a callback as its data.

    `notice` is called with a level and a text for the log. `backlog_share` is the number of bytes that all backlogs
    together may hold, None for any number.
    """

    def __init__(
        self,
        settings: BusSettings,
        selector: selectors.BaseSelector,
        notice: Callable[[str, str], None],
        backlog_share: int | None = None,
    ) -> None:
        self._settings = settings
        self._selector = selector
        self._notice = notice
        self._admission = Admission(settings)
        self._acceptor = Acceptor(selector, notice, self._admit)
        self._connections: dict[int, ClientConnection] = {}
        """Clients and taps by descriptor."""
        self._taps = 0
        self.readers = 0
        """Number of the taps that get remote and error frames, too."""
        self._next_second_s = 0.0
        self._share = sys.maxsize if backlog_share is None else backlog_share
        self._shrink_above = self._share
        """Size of all backlogs above which frames are dropped; above the share if nothing more could be dropped."""
        self.frames_lost = 0
        """Frames dropped; a frame counts once for each client that missed it."""
        self.frames_lost_by_taps = 0
        self._frames_sent_elsewhere = 0
        """Frames that the present clients received from earlier workers, less those that former clients received here."""
        self._bytes_sent_to_former = 0
        """Bytes sent here to clients that have left."""
        self.audience_changed = True

    @property
    def clients(self) -> int:
        """Number of clients, without taps."""
        return len(self._connections) - self._taps

    def audience(self) -> tuple[int, int]:
        """Return how many of the clients were already there at the last call, and how many there are now."""
        known = sum(not (connection.new or connection.tap) for connection in self._connections.values())
        for connection in self._connections.values():
            connection.new = False
        return known, self.clients

    @property
    def sent(self) -> tuple[int, int]:
        """Frames and bytes sent by this server to present and former clients."""
        backlogs = [connection.backlog for connection in self._connections.values() if not connection.tap]
        frames = sum(backlog.frames_sent for backlog in backlogs) - self._frames_sent_elsewhere
        return frames, sum(backlog.bytes_sent for backlog in backlogs) + self._bytes_sent_to_former

    def room(self, now_s: float) -> int:
        """Return the bytes that the slowest client has room for, half of its backlog being kept for bursts.

        A client that has taken nothing for a while is not waited for.
        """
        size = 0
        for connection in self._connections.values():
            backlog = connection.backlog
            if connection.tap or not backlog.size:
                connection.moved = (backlog.bytes_sent, now_s)
                continue
            if backlog.bytes_sent != connection.moved[0]:
                connection.moved = (backlog.bytes_sent, now_s)
            if now_s - connection.moved[1] < _STALLED_S:
                size = max(size, backlog.size)
        return self._settings.client_backlog // 2 - size

    def reports(self) -> list[ClientReport]:
        return [
            ClientReport(
                connection.address,
                connection.connected_at_s,
                connection.backlog.frames_sent,
                connection.backlog.frames_dropped,
                connection.backlog.size,
            )
            for connection in self._connections.values()
            if not connection.tap
        ]

    def listen(self, listener: socket.socket) -> None:
        """Accept clients on a listening socket."""
        self._acceptor.listen(listener)

    def broadcast(self, batch: Batch) -> None:
        """Send a batch to every client, with a single call; bytes that the socket refuses go to its backlog."""
        if not batch.internal:
            waiting = self._send(batch, self._connections.values())
        else:
            connections = [*self._connections.values()]
            waiting = self._send(batch.external(), [each for each in connections if not each.internal])
            waiting += self._send(batch.whole(), [each for each in connections if each.internal])
        if waiting > self._shrink_above:
            self._shrink()

    def _send(self, batch: Batch, connections: Iterable[ClientConnection]) -> int:
        """Send a batch on these connections; returns the size of their backlogs."""
        packets, frames, _, _ = batch
        lost = []
        waiting = 0
        size = len(packets)
        for connection in connections if packets else ():
            backlog = connection.backlog
            if backlog.size:
                if self._enqueue(connection, batch, 0):
                    lost.append((connection, _TOO_SLOW))
                waiting += backlog.size
                continue
            try:
                sent = connection.socket.send(packets)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                lost.append((connection, error.strerror or str(error)))
                continue
            if sent == size:
                backlog.frames_sent += frames
                backlog.bytes_sent += sent
            else:
                self._enqueue(connection, batch, sent)
                self._watch(connection)
                waiting += backlog.size
        for connection, reason in lost:
            self._disconnect(connection, reason)
        return waiting

    def _mark_audience(self) -> None:
        """Send the number of clients to the taps that want it, ahead of the frames that these clients get."""
        marked = [connection for connection in self._connections.values() if connection.marked]
        for connection in marked:
            mark, sent = audience_mark(self.clients), 0
            if not connection.backlog.size:
                # A tap that is gone is noticed with the next frame.
                with contextlib.suppress(OSError):
                    sent = connection.socket.send(mark)
            if sent < len(mark):
                self._enqueue(connection, Batch(mark, 0), sent)
                self._watch(connection)

    def adopt(self, client: ClientHandover, sock: socket.socket, unsent: bytes) -> None:
        """Serve a client of an earlier worker, if it is still there and the settings still allow it."""
        try:
            host = "" if client.tap else sock.getpeername()[0]
            if client.tap or self._admission.allows(host):
                self._serve_further(client, sock, unsent, host)
                return
            reason = "is no longer allowed: disconnected"
        except (OSError, ValueError):  # a connection that was reset has no peer
            reason = "left while the bus was interrupted"
        sock.close()
        self._notice("info", f"client {client.address} {reason}")

    def add_reader(self, client: ClientHandover, sock: socket.socket, unsent: bytes) -> None:
        """Serve a reader of the control socket, unless there are too many."""
        if self.readers >= MOST_READERS:
            sock.close()
            self._notice("warning", f"a reader of the control socket refused: there are {MOST_READERS}")
        else:
            self.adopt(client, sock, unsent)

    def _serve_further(self, client: ClientHandover, sock: socket.socket, unsent: bytes, host: str) -> None:
        limit = self._settings.client_backlog
        connection = ClientConnection(
            sock,
            client.address,
            counted_host(host),
            client.connected_at_s,
            min(limit, _READER_BACKLOG) if client.internal else limit,
            tap=client.tap,
            marked=client.marked,
            internal=client.internal,
        )
        connection.backlog.frames_sent = client.frames_sent
        connection.backlog.frames_dropped = client.frames_dropped
        connection.backlog.restore(unsent, client.frames_unsent, client.chunks)
        self._add(connection)
        if not client.tap:
            self._frames_sent_elsewhere += client.frames_sent

    def enforce_limits(self) -> None:
        """Put limits in force that may be lower than those of the clients' earlier worker: the youngest clients go."""
        clients = [connection for connection in self._connections.values() if not connection.tap]
        staying: list[ClientConnection] = []
        for connection in sorted(clients, key=lambda connection: connection.connected_at_s):
            if limit := self._admission.reached_limit(connection.host, staying):
                self._disconnect(connection, limit)
            else:
                staying.append(connection)
        self._shrink()

    def set_backlog_share(self, size: int) -> None:
        """Limit the size of all backlogs together to another number of bytes."""
        self._share = size
        self._shrink()

    def hand_over(self) -> Iterator[tuple[ClientHandover, socket.socket, bytes]]:
        """Yield every client and tap, with its open socket and its unsent bytes, and serve them no longer.

        The bytes leave the backlogs one by one: together they can be a large part of the memory.
        """
        while self._connections:
            connection = self._connections.pop(next(iter(self._connections)))
            if connection.events:
                self._selector.unregister(connection.socket)
            backlog = connection.backlog
            unsent, chunks = backlog.take()
            client = ClientHandover(
                connection.address,
                connection.connected_at_s,
                backlog.frames_sent,
                backlog.frames_dropped,
                sum(chunk.frames for chunk in chunks),
                connection.tap,
                chunks or None,
                connection.marked,
                connection.internal,
            )
            yield client, connection.socket, unsent
        self._taps = self.readers = 0

    def close(self) -> None:
        self._acceptor.close()
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()

    def resume_accepting(self) -> None:
        """Accept clients again after a pause. Call it about once a second."""
        self._acceptor.resume()

    def resume_reading(self, now_s: float) -> None:
        """Once a second, read again from clients that have sent too much. Call it at least as often."""
        if now_s < self._next_second_s:
            return
        self._next_second_s = now_s + 1
        self._mark_audience()  # the last mark may have been dropped
        for connection in self._connections.values():
            if connection.reads:
                connection.reads = 0
                self._watch(connection)

    def release(self) -> None:
        """Close every socket in a process that a driver has forked: the connections are the worker's alone."""
        for sock in (
            *self._acceptor.listeners,
            *(connection.socket for connection in self._connections.values()),
        ):
            sock.close()

    def _admit(self, sock: socket.socket, peer: Any) -> None:
        """Serve a new client if the settings allow it."""
        address = address_text(peer[0].removeprefix("::ffff:"), peer[1])
        if not self._admission.allows(peer[0]):
            sock.close()
            self._notice("warning", f"client {address} refused: its address is not in allow")
        elif limit := self._admission.reached_limit(counted_host(peer[0]), self._connections.values()):
            sock.close()
            self._notice("warning", f"client {address} refused: {limit}")
        else:
            self._greet(sock, address, peer[0])

    def _greet(self, sock: socket.socket, address: str, host: str) -> None:
        backlog = self._settings.client_backlog
        try:
            set_options(sock)
            self._add(ClientConnection(sock, address, counted_host(host), time.monotonic(), backlog))
        except OSError as error:  # macOS refuses options of a connection that has been reset
            sock.close()
            self._notice("info", f"client {address} left at once: {error.strerror or error}")
        else:
            self._notice("info", f"client {address} connected")

    def _add(self, connection: ClientConnection) -> None:
        """Serve a connection. If this raises OSError, close its socket."""
        connection.socket.setblocking(False)
        make_way(connection)
        self._watch(connection)
        self._connections[connection.socket.fileno()] = connection
        self._taps += connection.tap
        self.readers += connection.internal
        self.audience_changed = True
        self._mark_audience()

    def _watch(self, connection: ClientConnection) -> None:
        """Watch a socket for writing exactly while its backlog holds bytes, and for reading unless it sends too much."""
        reads = connection.reads < _READS_PER_S
        events = (selectors.EVENT_READ if reads else 0) | (
            selectors.EVENT_WRITE if connection.backlog.size else 0
        )
        if events == connection.events:
            return
        if not connection.events:
            self._selector.register(connection.socket, events, lambda events: self._serve(connection, events))
        elif events:
            self._selector.modify(connection.socket, events, self._selector.get_key(connection.socket).data)
        else:
            self._selector.unregister(connection.socket)
        connection.events = events

    def _serve(self, connection: ClientConnection, events: int) -> None:
        if connection.socket.fileno() not in self._connections:
            return  # disconnected earlier in this round of events
        try:
            if events & selectors.EVENT_READ:
                if not connection.socket.recv(_DISCARD_BYTES):
                    self._disconnect(connection, "closed by the client")
                    return
                connection.reads += 1
                if connection.reads == _READS_PER_S:
                    self._watch(connection)
            if events & selectors.EVENT_WRITE:
                self._send_backlog(connection)
        except BlockingIOError:
            pass
        except OSError as error:
            self._disconnect(connection, error.strerror or str(error))

    def _send_backlog(self, connection: ClientConnection) -> None:
        backlog = connection.backlog
        while backlog.size:
            with backlog.next_bytes() as data:
                size = len(data)
                sent = connection.socket.send(data)
            backlog.mark_sent(sent)
            if sent < size:
                break
        self._watch(connection)

    def _enqueue(self, connection: ClientConnection, batch: Batch, sent: int) -> bool:
        """Add a batch to the backlog. Returns True if the client has to be disconnected because this dropped frames."""
        return self._count_dropped(connection, connection.backlog.enqueue(batch, sent))

    def _count_dropped(self, connection: ClientConnection, dropped: int) -> bool:
        """Count frames that were dropped for a client. Returns True if it has to be disconnected for them."""
        if connection.tap:
            self.frames_lost_by_taps += dropped
            return False
        self.frames_lost += dropped
        return bool(dropped) and self._settings.slow_client == "disconnect"

    def _shrink(self) -> None:
        """If all backlogs together exceed their share, drop the oldest frames of the largest, again and again."""
        total = sum(connection.backlog.size for connection in self._connections.values())
        if total > self._share:
            total = self._dropped_to(self._share - self._share // _SLACK, total)
        # The beginnings of backlogs, which clients have in part, stay: look again when there is more to drop.
        self._shrink_above = self._share if total <= self._share else total + CHUNK_BYTES

    def _dropped_to(self, size: int, total: int) -> int:
        """Drop the oldest frames of the largest backlogs until `size` is left of `total`; returns the size left.

        Taps come first: no client loses a frame for them.
        """
        largest = [
            (not connection.tap, -connection.backlog.size, fd) for fd, connection in self._connections.items()
        ]
        heapq.heapify(largest)
        while total > size and largest:
            no_tap, before, descriptor = heapq.heappop(largest)
            connection = self._connections[descriptor]
            dropped = connection.backlog.drop_oldest()
            if self._count_dropped(connection, dropped):
                self._disconnect(connection, _TOO_SLOW)
                total += before
            elif dropped:
                total += before + connection.backlog.size
                heapq.heappush(largest, (no_tap, -connection.backlog.size, descriptor))
        return total

    def _disconnect(self, connection: ClientConnection, reason: str) -> None:
        self._connections.pop(connection.socket.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        connection.socket.close()
        if connection.tap:
            self._taps -= 1
            self.readers -= connection.internal
            return
        self.audience_changed = True
        self._mark_audience()
        self._frames_sent_elsewhere -= connection.backlog.frames_sent
        self._bytes_sent_to_former += connection.backlog.bytes_sent
        dropped = connection.backlog.frames_dropped
        lost = f", {dropped} frames were dropped for it" if dropped else ""
        self._notice("info", f"client {connection.address} left: {reason}{lost}")
