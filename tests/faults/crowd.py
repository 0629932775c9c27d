"""Many clients in one thread, each with a check of its own stream: whole packets, in order, and no frame twice."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Self

from tests.support.harness import PATIENCE_S
from tests.support.numbered_frames import ARBITRATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PACKET = struct.Struct(">QIBBQ")
"""A numbered frame: time stamp, arbitration id, flags, length, number."""
_HEAD = ARBITRATION_ID, 0, 8
_CHUNK_BYTES = 1 << 16


class Stream:
    """A client's connection. It reads only when `read` is called."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, source: str = "", receive_buffer: int | None = None
    ) -> None:
        """`source` is the address to connect from, `receive_buffer` the size of the kernel's buffer."""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((host, port))
        self.socket.setblocking(False)
        own_host, own_port = self.socket.getsockname()
        self.address = f"{own_host}:{own_port}"
        """The client as the status names it."""
        self.received = 0
        self.first = self.last = -1
        self.ended = self.reset = False
        """Whether the connection has ended, and whether by a reset."""
        self.mistakes: list[str] = []
        self._rest = b""

    @property
    def expected(self) -> int:
        """Number of frames from the first to the last that has arrived."""
        return self.last - self.first + 1 if self.received else 0

    @property
    def missing(self) -> int:
        return self.expected - self.received

    @property
    def cut(self) -> bool:
        """Whether the stream ends within a packet at present."""
        return bool(self._rest)

    def read(self, most: int = 1 << 30) -> None:
        """Read the bytes that have arrived, up to `most`, and check them."""
        while most > 0 and not self.ended:
            try:
                data = self.socket.recv(min(most, _CHUNK_BYTES))
            except BlockingIOError:
                return
            except OSError:
                self.ended = self.reset = True
                return
            self.ended = not data
            most -= len(data)
            self._check(data)

    def _check(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) // _PACKET.size * _PACKET.size
        self._rest = data[whole:]
        for _stamp, *head, number in _PACKET.iter_unpack(memoryview(data)[:whole]):
            if tuple(head) != _HEAD:
                self._note(f"a packet with the head {head}: the stream is torn")
                self.ended = True
                return
            if self.first < 0:
                self.first = number
            elif number <= self.last:
                self._note(f"frame {number} after {self.last}")
            self.received += 1
            self.last = max(self.last, number)

    def _note(self, mistake: str) -> None:
        if not self.mistakes:
            self.mistakes.append(f"{self.address}: {mistake}")

    def close(self, *, reset: bool = False) -> None:
        """Close the connection, with a reset in place of a FIN if asked for."""
        if reset:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Crowd:
    """Clients of one port; all that are left at the end of the `with` block are closed."""

    def __init__(self, port: int) -> None:
        self.streams: list[Stream] = []
        self.left: list[Stream] = []
        """Streams that were closed from this side."""
        self._port = port

    def join(self, count: int = 1, *, source: str = "", receive_buffer: int | None = None) -> list[Stream]:
        fresh = [
            Stream(self._port, source=source, receive_buffer=receive_buffer) for _ in range(count)
        ]  # fmt: skip
        self.streams += fresh
        return fresh

    def leave(self, streams: Iterable[Stream], *, reset: bool = False) -> None:
        for stream in list(streams):
            stream.close(reset=reset)
            self.streams.remove(stream)
            self.left.append(stream)

    def read(self, streams: Iterable[Stream] | None = None, wait_s: float = 0.05) -> None:
        """Read from clients, after waiting for the first of them to have something."""
        chosen = [stream for stream in (self.streams if streams is None else streams) if not stream.ended]
        poller = select.poll()
        by_descriptor = {stream.socket.fileno(): stream for stream in chosen}
        for descriptor in by_descriptor:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(wait_s * 1000):
            by_descriptor[descriptor].read()

    def read_until(
        self, condition: Callable[[], object], streams: Iterable[Stream] | None = None, what: str = ""
    ) -> None:
        """Read from clients until the condition is true. Raises AssertionError if that takes too long."""
        chosen = None if streams is None else list(streams)
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, f"not within {PATIENCE_S} s: {what}"
            self.read(chosen)

    def mistakes(self) -> list[str]:
        return [mistake for stream in (*self.streams, *self.left) for mistake in stream.mistakes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave(self.streams)
