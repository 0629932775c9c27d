"""Listening sockets of a bus: accepts connections, and pauses while the system has no room for them.

Whether a client may stay is decided by `client_server`, which gets each connection.
"""

from __future__ import annotations

import errno
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_ACCEPTS_AT_ONCE = 16


class Acceptor:
    """The listening sockets are in the caller's selector; `connected` gets each new socket and the peer's address."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        notice: Callable[[str, str], None],
        connected: Callable[[socket.socket, Any], None],
    ) -> None:
        self._selector = selector
        self._notice = notice
        self._connected = connected
        self.listeners: list[socket.socket] = []
        self._paused: list[socket.socket] = []
        """Those of `listeners` that are not watched at present."""

    def listen(self, listener: socket.socket) -> None:
        """Accept clients on a listening socket."""
        listener.setblocking(False)
        self.listeners.append(listener)
        self._watch(listener)

    def resume(self) -> None:
        """Accept clients again after a pause."""
        for listener in self._paused:
            self._watch(listener)
        self._paused.clear()

    def close(self) -> None:
        for listener in self.listeners:
            if listener not in self._paused:
                self._selector.unregister(listener)
            listener.close()
        self.listeners.clear()
        self._paused.clear()

    def _watch(self, listener: socket.socket) -> None:
        self._selector.register(listener, selectors.EVENT_READ, lambda _events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # the client has gone before it was accepted
                continue
            except OSError as error:
                self._selector.unregister(listener)
                if error.errno == errno.EINVAL:  # the supervisor has shut it down: the bus moves or stops
                    self.listeners.remove(listener)
                    listener.close()
                else:
                    self._pause(listener, error)
                return
            self._connected(sock, peer)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Stop accepting for a moment: clients that wait would otherwise wake the loop again and again."""
        self._paused.append(listener)
        text = error.strerror or str(error)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            text += ". Raise the limit of open files (LimitNOFILE=, ulimit -n), or lower max_clients"
        self._notice("warning", f"a client cannot be accepted at present: {text}.")
