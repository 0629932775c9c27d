"""The connections of browsers: which networks they may come from, how many there are, and how slow each may be."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from typing import TYPE_CHECKING

from cancorderd.protocol import tcp_options
from cancorderd.web.access import neighbourhood

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from cancorderd.web.access import Networks

log = logging.getLogger("cancorderd.web")

_MOST = 256
_MOST_PER_NEIGHBOUR = 32
"""A browser opens six for requests, and one for each page's WebSocket."""
_HEAD_WITHIN_S = 10.0
"""Time for TLS and the head of a request, from the connection or the end of the answer before."""
_ANSWER_WITHIN_S = 90.0
"""Time for the rest of a request, and for its answer to be read: more than a reload takes."""
_HANDSHAKE_WITHIN_S = 5.0
_ACCEPT_AGAIN_S = 1.0
_UNACKNOWLEDGED_MS = 60_000
_QUEUE = 128


class Connections:
    """Accepts connections, and hands each to a new protocol of aiohttp's server."""

    def __init__(
        self,
        networks: Networks,
        tls: ssl.SSLContext | None,
        *,
        most: int = _MOST,
        most_per_neighbour: int = _MOST_PER_NEIGHBOUR,
        head_within_s: float = _HEAD_WITHIN_S,
        answer_within_s: float = _ANSWER_WITHIN_S,
    ) -> None:
        self._networks = networks
        self._tls = tls
        self._most = most
        self._most_per_neighbour = most_per_neighbour
        self._head_within_s = head_within_s
        self._answer_within_s = answer_within_s
        self._neighbours: Counter[str] = Counter()
        """Open connections of each neighbourhood, by `neighbourhood`."""
        self._timers: dict[asyncio.BaseTransport, asyncio.TimerHandle | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, sock: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections on a listening socket, from now on. Owns the socket."""
        self._add_task(self._accept(sock, new_protocol))

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def request_begins(self, transport: asyncio.BaseTransport | None) -> None:
        """Take note that the head of a request is complete."""
        self._set_timer(transport, self._answer_within_s)

    def unlimited(self, transport: asyncio.BaseTransport | None) -> None:
        """Let the answer take as long as it likes: it is a stream."""
        self._set_timer(transport, None)

    def request_ends(self, transport: asyncio.BaseTransport | None) -> None:
        """Take note that the answer is ready: time runs until the next head has arrived."""
        self._set_timer(transport, self._head_within_s)

    def _set_timer(self, transport: asyncio.BaseTransport | None, within_s: float | None) -> None:
        if transport is None or transport not in self._timers:
            return
        if timer := self._timers[transport]:
            timer.cancel()
        self._timers[transport] = None
        if within_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[transport] = loop.call_later(within_s, _abort, transport)

    def _add_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, sock: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        with sock:
            while True:
                try:
                    connection, address = await loop.sock_accept(sock)
                except OSError as error:
                    log.warning("connections cannot be accepted at present: %s", error.strerror)
                    await asyncio.sleep(_ACCEPT_AGAIN_S)
                    continue
                peer = str(address[0])
                if self._admits(peer):
                    self._add_task(self._serve(connection, neighbourhood(peer), new_protocol))
                else:
                    connection.close()

    def _admits(self, peer: str) -> bool:
        return (
            self._networks.allow(peer)
            and self._neighbours.total() < self._most
            and self._neighbours[neighbourhood(peer)] < self._most_per_neighbour
        )

    async def _serve(
        self, connection: socket.socket, neighbour: str, new_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        """Serve a connection until it ends."""
        self._neighbours[neighbour] += 1
        ended = asyncio.Event()
        watched = _Watched(new_protocol(), self._connected, ended.set)
        try:
            _find_dead_peers(connection)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: watched,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_WITHIN_S if self._tls else None,
            )
            await ended.wait()
        except (OSError, TimeoutError):  # the peer has gone, or speaks no TLS
            connection.close()
        finally:
            self._neighbours[neighbour] -= 1
            if not self._neighbours[neighbour]:
                del self._neighbours[neighbour]
            if transport := watched.transport:
                if timer := self._timers.pop(transport, None):
                    timer.cancel()
                _abort(transport)

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        self._timers[transport] = None
        self._set_timer(transport, self._head_within_s)


class _Watched(asyncio.Protocol):
    """A protocol of aiohttp, whose begin and end are reported."""

    def __init__(
        self,
        inner: asyncio.Protocol,
        connected: Callable[[asyncio.BaseTransport], None],
        ended: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._connected = connected
        self._ended = ended
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._connected(transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def _find_dead_peers(connection: socket.socket) -> None:
    """Let the system end a connection whose peer is gone, or acknowledges nothing."""
    tcp_options.keep_alive(connection)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def listening_socket(address: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host, _, interface = address.partition("%")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place: tuple[str, int] | tuple[str, int, int, int] = (host, port)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            place = (host, port, 0, socket.if_nametoindex(interface) if interface else 0)
        sock.bind(place)
        sock.listen(_QUEUE)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
