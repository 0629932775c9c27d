"""The connections of the control socket: how many there may be, and how long each may be idle.

Whoever may read the status could otherwise use up the daemon's descriptors, by mistake or on purpose. `server`
answers the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import resource
import socket
from collections import deque
from typing import TYPE_CHECKING

from cancorderd.control import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.control.protocol import ErrorAnswer

log = logging.getLogger("cancorderd")

_MOST = 64
_RESERVED = 4
"""Further connections for root and the daemon's own user, so that they can always intervene."""
_DESCRIPTORS_DIVISOR = 4
"""Share of the daemon's descriptors that the connections may use, if their number is limited to a few."""
_HEAD_WITHIN_S = 5.0
"""Time for the head of a request, from the connection or the end of the answer before."""
_ACCEPT_AGAIN_S = 1.0
_SPARES = 4
_FILL_AGAIN_S = 0.05
_REFUSED_S = 1.0
_MOST_REFUSED = 8
"""Refused connections that are not closed yet."""


class ControlConnections:
    """Accepts connections, and hands each to a new protocol of aiohttp's server.

    `peer` returns the user id of the process at the other end of a connection.
    """

    def __init__(
        self,
        peer: Callable[[socket.socket], int],
        *,
        most: int = _MOST,
        head_within_s: float = _HEAD_WITHIN_S,
    ) -> None:
        self._peer = peer
        self._most = min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _DESCRIPTORS_DIVISOR)
        self._head_within_s = head_within_s
        self._timers: dict[asyncio.Transport, asyncio.TimerHandle | None] = {}
        """Open connections; no timer while a request is being answered."""
        self._refused: deque[socket.socket] = deque()
        """The latest refused connections."""
        self._spares: list[int] = []
        """Descriptors in reserve: buses that cannot be started for want of descriptors must not hide the reason."""
        self._accepting: asyncio.Task[None] | None = None
        self._fill_spares()  # now, before any bus starts

    async def listen(self, sock: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections on a listening socket, in place of an earlier one. Owns the socket."""
        earlier, self._accepting = self._accepting, asyncio.create_task(self._accept(sock, new_protocol))
        await _end(earlier)

    async def stop(self) -> None:
        """Accept no further connections."""
        await _end(self._accepting)
        while self._spares:
            os.close(self._spares.pop())
        while self._refused:
            self._refused.popleft().close()

    def request_begins(self, transport: asyncio.Transport) -> None:
        """Take note that the head of a request is complete: its answer may take as long as it needs."""
        if timer := self._timers.get(transport):
            timer.cancel()
        self._timers[transport] = None

    def request_ends(self, transport: asyncio.Transport) -> None:
        """Take note that the answer is ready: time runs until it is read and the next head has arrived."""
        loop = asyncio.get_running_loop()
        self._timers[transport] = loop.call_later(self._head_within_s, self._abort, transport)

    def _abort(self, transport: asyncio.Transport) -> None:
        self._timers.pop(transport, None)
        transport.abort()

    async def _accept(self, sock: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        with sock:
            while True:
                try:
                    connection, _ = await loop.sock_accept(sock)
                except OSError as error:
                    await self._make_room(error)
                    continue
                try:
                    await self._admit(connection, new_protocol)
                except OSError:  # the peer has gone
                    connection.close()

    async def _make_room(self, error: OSError) -> None:
        """Give up a spare descriptor for the next connection; without one, connections wait in the socket's queue."""
        if error.errno == errno.EMFILE and self._spares:
            os.close(self._spares.pop())
            asyncio.get_running_loop().call_later(_FILL_AGAIN_S, self._fill_spares_again)
            return
        log.warning("the control socket cannot be served at present: %s", error.strerror)
        await asyncio.sleep(_ACCEPT_AGAIN_S)

    def _fill_spares(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._spares) < _SPARES:
                self._spares.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def _fill_spares_again(self) -> None:
        """Take back the descriptor of a connection that has ended, before a bus that is tried again takes it."""
        if self._accepting is None or self._accepting.done():
            return
        self._fill_spares()
        if len(self._spares) < _SPARES:
            asyncio.get_running_loop().call_later(_FILL_AGAIN_S, self._fill_spares_again)

    def _forget_ended(self) -> None:
        """Forget connections that have ended, with their timers: these would keep each in memory for seconds."""
        for transport in [each for each in self._timers if each.is_closing()]:
            if timer := self._timers.pop(transport):
                timer.cancel()

    async def _admit(self, connection: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._forget_ended()
        may_change = protocol.may_change(self._peer(connection), os.geteuid())
        if len(self._timers) >= self._most + (_RESERVED if may_change else 0):
            self._refuse(connection)
            return
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(new_protocol, connection)
        self.request_ends(transport)

    def _refuse(self, connection: socket.socket) -> None:
        """Answer before there is a request. The connection stays for a moment, so that sending one does not fail."""
        connection.send(_refusal(len(self._timers)))
        connection.shutdown(socket.SHUT_WR)
        self._refused.append(connection)
        if len(self._refused) > _MOST_REFUSED:
            self._refused.popleft().close()
        asyncio.get_running_loop().call_later(_REFUSED_S, connection.close)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task:
        task.cancel()
        await asyncio.wait([task])


def _refusal(connections: int) -> bytes:
    answer: ErrorAnswer = {
        "error": f"the control socket has {connections} connections, as many as it takes. End programs that keep "
        "connections open (ss -xp shows them)."
    }
    body = json.dumps(answer)
    return (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {_HEAD_WITHIN_S:.0f}\r\nConnection: close\r\n\r\n{body}"
    ).encode()
