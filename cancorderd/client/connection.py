"""One connection to one logger: bytes from a TCP socket, frames to the caller."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, NoReturn, Self

from cancorderd.client.errors import ConnectFailed, StreamCut, StreamEnded
from cancorderd.keepalive import keep_alive
from cancorderd.wire import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.frame import Frame

_RECEIVE_BYTES = 1 << 18
"""Some 12,000 frames: what is decoded at once, and so how much waits here."""


def connect(host: str, port: int, *, timeout_s: float = 5.0) -> Connection:
    """Connect to the logger at `host` (a name, an IPv4 or an IPv6 address) and TCP `port`.

    Every address of the host is tried; together they get `timeout_s` seconds, beside the time that the system
    takes to look up a name. Raises ConnectFailed.
    """
    return connect_any([host], port, written(host, port), timeout_s=timeout_s)


def connect_any(hosts: Iterable[str], port: int, name: str, *, timeout_s: float) -> Connection:
    """Connect to the first of `hosts` that answers; `name` is what errors call it. Raises ConnectFailed."""
    deadline_s = time.monotonic() + timeout_s
    failure: OSError = OSError("it has no address")
    addresses = []
    for host in hosts:
        try:
            addresses += socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = OSError("this is no host name")
    for at, (family, _, _, _, address) in enumerate(addresses):
        left_s = max(0.0, deadline_s - time.monotonic()) / (len(addresses) - at)
        try:
            return Connection(_connected(family, address, left_s), name)
        except OSError as error:
            failure = error
    raise ConnectFailed(f"{name}: {_fact(failure)}") from failure


def written(host: str, port: int) -> str:
    """An address as people write it: 192.168.1.20:42420, [::1]:42420."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _connected(
    family: int, address: tuple[str | int, ...] | tuple[int, bytes], timeout_s: float
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(timeout_s, 0.001))  # 0 would mean: do not wait at all
        sock.connect(address)
        keep_alive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _fact(error: OSError) -> str:
    """What went wrong and what to do about it."""
    if isinstance(error, socket.gaierror):
        return "no host has this name. Correct it, or write its address."
    if isinstance(error, ConnectionRefusedError):
        return (
            "nothing listens there. Start the bus (cancorderctl status shows its port), or correct the port."
        )
    if isinstance(error, TimeoutError):
        return "no answer. Check the address, the network and the firewall."
    return f"{error.strerror or error}. Check the address and the network."


class Connection:
    """An open stream of frames; iterate over it, or call `receive`. Use it in one thread at a time.

    Frames that the server could not deliver, since the reader was slow, are missing without notice:
    `cancorderctl clients` counts them. What a connection has received, but not handed out, is bounded
    (256 KiB of packets).
    """

    def __init__(self, sock: socket.socket, name: str = "") -> None:
        """Take over a connected TCP socket; `name` is what errors call the server."""
        self._socket = sock
        self.peer: tuple[str, int] = sock.getpeername()[:2]
        """Address and TCP port of the server."""
        self._name = name or written(*self.peer)
        self._decoder = PacketDecoder()
        self._frames: deque[Frame] = deque()
        self._end: Exception | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """Wait for the next frame, for ever; the iteration ends when the server ends the stream.

        Raises StreamCut and WireError.
        """
        try:
            while not self._frames:
                self._read(None)
        except StreamEnded:
            raise StopIteration from None
        return self._frames.popleft()

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, or None where none came within `timeout_s` seconds (None: waits for ever; 0: does not).

        Raises StreamEnded, StreamCut and WireError, after the last good frame, and again at each further call.
        """
        if self._frames:
            return self._frames.popleft()
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._frames:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not self._read(left_s) and left_s == 0:
                return None
        return self._frames.popleft()

    def receive_available(self) -> list[Frame]:
        """Every frame that is there, up to some 12,000; does not wait, so the list may be empty.

        Raises as `receive` does. After it, `fileno()` tells when there is more.
        """
        if not self._frames:
            self._read(0.0)
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def fileno(self) -> int:
        """For selectors: readable when bytes have arrived, or the stream is over; then call `receive_available`.

        It does not tell of frames that `receive` or the iteration have decoded and not handed out yet.
        """
        return self._socket.fileno()

    def close(self) -> None:
        """Disconnect. May be called twice, and from another thread: a call that waits ends there."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, timeout_s: float | None) -> bool:
        """Take what arrives within the time; False where nothing did. Raises what ended the stream."""
        if self._end:
            raise self._end
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                return False  # the wait is over; with a number, the peer is gone
            data = b"" if self._closed else self._fail(error)
        if not data:
            self._finish()
        self._decoder.receive(data)
        try:
            self._frames.extend(self._decoder.frames())
        except ValueError as error:
            self._end = error
            self.close()
            if not self._frames:
                raise
        return True

    def _fail(self, error: OSError) -> NoReturn:
        what = (
            "the connection broke"
            if error.errno is None
            else f"the connection broke ({os.strerror(error.errno)})"
        )
        self._end = StreamCut(f"{self._name}: {what}. Connect again.")
        raise self._end from error

    def _finish(self) -> NoReturn:
        if self._closed:
            self._end = StreamEnded(f"{self._name}: this connection is closed.")
        elif self._decoder.pending:
            self._end = StreamCut(f"{self._name}: the stream ended within a packet. Connect again.")
        else:
            self._end = StreamEnded(f"{self._name}: the server ended the stream. Connect again.")
        raise self._end
