"""Connection to a logger: bytes from a TCP socket, frames to the caller."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, NoReturn, Self

from cancorderd.client.errors import BordersLost, ConnectFailed, StreamCut, StreamEnded
from cancorderd.protocol.addresses import address_text
from cancorderd.protocol.forgiving_decoder import ForgivingDecoder
from cancorderd.protocol.packets import WireError
from cancorderd.protocol.tcp_options import keep_alive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.protocol.frame import Frame

_HIGHEST_PORT = 65535
"""The system would take a higher one modulo 65536, and connect to another port."""
_RECEIVE_BYTES = 1 << 18
"""Some 12,000 frames: the amount that is decoded at once, and so the most that waits here."""


def connect(host: str, port: int, *, timeout_s: float = 5.0) -> Connection:
    """Connect to the logger at `host` (a name, an IPv4 or an IPv6 address) and TCP `port`.

    Every address of the host is tried, for `timeout_s` seconds in all; the time to look up a name comes on top.
    Raises ConnectFailed, and ValueError if `host` or `port` is no host or port at all.
    """
    if not isinstance(host, str):
        raise ValueError(  # noqa: TRY004 - as for a text that is no port
            f'the host is {host!r}, which is no text. Write a name or an address, such as "localhost".'
        )
    if not (str(port).isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError(f"the port is {port!r}. Write a number from 1 to {_HIGHEST_PORT}, such as 42420.")
    return connect_any([host], port, address_text(host, port), timeout_s=timeout_s)


def connect_any(hosts: Iterable[str], port: int, name: str, *, timeout_s: float) -> Connection:
    """Connect to the first of `hosts` that answers; errors refer to the server as `name`. Raises ConnectFailed."""
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
    for index, (family, _, _, _, address) in enumerate(addresses):
        left_s = max(0.0, deadline_s - time.monotonic()) / (len(addresses) - index)
        try:
            return Connection(_connected(family, address, left_s), name)
        except OSError as error:
            failure = error
    raise ConnectFailed(f"{name}: {_fact_and_remedy(failure)}") from failure


def _connected(
    family: int, address: tuple[str | int, ...] | tuple[int, bytes], timeout_s: float
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(timeout_s, 0.001))  # 0 would make the socket non-blocking
        sock.connect(address)
        keep_alive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _fact_and_remedy(error: OSError) -> str:
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
    """An open stream of frames: iterate over it, or call `receive`. Not safe to use in several threads at a time.

    Frames that the server dropped because the client was slow are missing without notice; `cancorderctl clients`
    counts them. The connection buffers at most 256 KiB of packets.

    A packet that breaks a limit of CAN is repaired or skipped, and counted; only an impossible length byte ends the
    stream, since it makes the borders of all further packets unknown.
    """

    def __init__(
        self, sock: socket.socket, name: str = "", *, decoder: ForgivingDecoder | None = None
    ) -> None:
        """Take ownership of a connected socket; errors refer to the server as `name`. Of a Unix socket, `peer` is ("", 0)."""
        self._socket = sock
        peer = sock.getpeername()
        self.peer: tuple[str, int] = peer[:2] if isinstance(peer, tuple) else ("", 0)
        """Address and TCP port of the server."""
        self.name = name or address_text(*self.peer)
        """The server, as errors name it."""
        self._decoder = decoder or ForgivingDecoder()
        self._frames: deque[Frame] = deque()
        self._end: Exception | None = None
        self._closed = False
        self._good = False
        """Whether the stream has had a frame."""

    @property
    def packets_repaired(self) -> int:
        """Packets that broke a limit of CAN and whose meaning is plain, such as a 29-bit id without its flag."""
        return self._decoder.repaired

    @property
    def packets_skipped(self) -> int:
        """Packets that broke a limit of CAN and mean no data frame."""
        return self._decoder.skipped

    @property
    def first_fault(self) -> str:
        """The fault of the first of these packets as a sentence; empty if there was none."""
        if not self._decoder.first_fault:
            return ""
        return (
            f"{self.name}: {self._decoder.first_fault}. Such packets are repaired if their meaning is plain, else "
            "skipped. Correct the logger."
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """Return the next frame, and wait for it without limit; the iteration ends when the server ends the stream.

        Raises StreamCut, BordersLost and WireError.
        """
        try:
            while not self._frames:
                self._read(None)
        except StreamEnded:
            raise StopIteration from None
        return self._frames.popleft()

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """Return the next frame, or None if none arrives within `timeout_s` seconds (None: no limit; 0: do not wait).

        Once the stream is over and its frames have been returned, every call raises: StreamEnded, StreamCut,
        BordersLost (connect again) or WireError (the server speaks another protocol).
        """
        if self._frames:
            return self._frames.popleft()
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._frames:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            self._read(left_s)
            if left_s == 0 and not self._frames:
                return None
        return self._frames.popleft()

    def receive_available(self) -> list[Frame]:
        """Return every frame that has arrived, up to some 12,000, without waiting: the list may be empty.

        Raises as `receive` does. Afterwards, `fileno()` is readable when there is more.
        """
        if not self._frames:
            self._read(0.0)
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def fileno(self) -> int:
        """Return the socket's descriptor: readable when bytes have arrived, and once the stream is over.

        Then call `receive_available`. Frames that `receive` or the iteration have decoded but not returned yet do not
        make it readable.
        """
        return self._socket.fileno()

    def close(self) -> None:
        """Disconnect. Safe to call twice, and from another thread: calls that wait in other threads then end.

        `fileno()` is no descriptor any more: remove it from selectors before.
        """
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, timeout_s: float | None) -> None:
        """Decode the bytes that arrive within the time, if any. Raises the end of the stream."""
        if self._end:
            raise self._end
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                return  # the time is over; an errno (ETIMEDOUT) would mean that the peer is gone
            data = b"" if self._closed else self._fail(error)
        if not data:
            self._finish()
        self._decoder.receive(data)
        try:
            self._frames.extend(self._decoder.frames())
        except WireError as error:
            self._end = self._distrust(error)
            if not self._frames:
                raise self._end from None
        self._good = self._good or bool(self._frames)

    def _distrust(self, error: WireError) -> WireError:
        """Return the end of a stream with an invalid packet. The descriptor stays, and is readable."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._good or self._frames:
            return BordersLost(f"{self.name}: {error}. The borders of the packets are lost. Connect again.")
        return WireError(
            f"{self.name}: {error}. This is no ECUconnect Logger. Correct the address or the port."
        )

    def _fail(self, error: OSError) -> NoReturn:
        cause = f" ({os.strerror(error.errno)})" if error.errno is not None else ""
        self._end = StreamCut(f"{self.name}: the connection broke{cause}. Connect again.")
        raise self._end from error

    def _finish(self) -> NoReturn:
        if self._closed:
            self._end = StreamEnded(f"{self.name}: this connection is closed.")
        elif self._decoder.pending:
            self._end = StreamCut(f"{self.name}: the stream ended within a packet. Connect again.")
        else:
            self._end = StreamEnded(f"{self.name}: the server ended the stream. Connect again.")
        raise self._end
