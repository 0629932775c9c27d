"""The link between the supervisor and one worker: messages, payloads and sockets over a Unix socket.

Each message goes as a header (length of the JSON, length of the payload, number of descriptors), the
JSON of `report`, and the payload. Descriptors travel with the header's first byte (SCM_RIGHTS), so
they are never behind their message. Both ends are non-blocking: whoever owns a link watches it for
reading always and for writing while `backlog` says so.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cancorderd import report

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct(">IIB")
_READ_BYTES = 1 << 18
_MAX_DESCRIPTORS = 64
"""More listening sockets than any bus has addresses; SCM_MAX_FD is 253."""


class LinkClosed(Exception):
    """The other end is gone."""


class Received(NamedTuple):
    """A message; whoever takes it owns its descriptors."""

    message: report.Message
    payload: bytes
    descriptors: list[int]


def pair() -> tuple[Link, socket.socket]:
    """The supervisor's end, and the socket that the worker inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Link(ours), theirs


class Link:
    """One end. `send` never blocks: what the socket does not take waits for `flush`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._in = bytearray()
        self._in_descriptors: list[int] = []
        self._out: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def backlog(self) -> bool:
        """True while something waits for `flush`."""
        return bool(self._out)

    def send(self, message: report.Message, payload: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        """Send a message. The descriptors stay open until `flush` passed them on: do not reuse them.

        Raises LinkClosed when the other end is gone.
        """
        body = report.to_json(message)
        data = _HEADER.pack(len(body), len(payload), len(descriptors)) + body + payload
        self._out.append((memoryview(data), [socket.dup(one) for one in descriptors]))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now. Raises LinkClosed when the other end is gone."""
        while self._out:
            data, descriptors = self._out[0]
            try:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                taken = self._sock.sendmsg([data], rights if descriptors else [])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise LinkClosed(str(error)) from error
            _close_all(descriptors)
            if taken == len(data):
                self._out.popleft()
            else:
                self._out[0] = (data[taken:], [])

    def flush_within(self, seconds: float) -> None:
        """Send everything, waiting for the other end if need be; gives up after `seconds` of no progress."""
        self._sock.settimeout(seconds)
        with contextlib.suppress(LinkClosed, TimeoutError):
            self.flush()

    def receive(self) -> list[Received]:
        """Every whole message that has arrived. Raises LinkClosed at the end of the stream."""
        size = array.array("i").itemsize
        try:
            data, ancillary, _, _ = self._sock.recvmsg(
                _READ_BYTES, socket.CMSG_SPACE(_MAX_DESCRIPTORS * size)
            )
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise LinkClosed(str(error)) from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                arrived = array.array("i")
                arrived.frombytes(content[: len(content) - len(content) % size])
                self._in_descriptors.extend(arrived)
        if not data:
            raise LinkClosed("the other end is gone")
        self._in += data
        return self._whole_messages()

    def _whole_messages(self) -> list[Received]:
        found = []
        while len(self._in) >= _HEADER.size:
            body_length, payload_length, count = _HEADER.unpack_from(self._in)
            body_end = _HEADER.size + body_length
            end = body_end + payload_length
            if len(self._in) < end:
                break
            message = report.from_json(bytes(self._in[_HEADER.size : body_end]))
            payload = bytes(self._in[body_end:end])
            found.append(Received(message, payload, self._in_descriptors[:count]))
            del self._in_descriptors[:count]
            del self._in[:end]
        return found

    def close(self) -> None:
        """Close this end and every descriptor that nobody took. Safe to call twice."""
        for _, descriptors in self._out:
            _close_all(descriptors)
        self._out.clear()
        _close_all(self._in_descriptors)
        self._in_descriptors = []
        self._sock.close()


def _close_all(descriptors: list[int]) -> None:
    for one in descriptors:
        socket.close(one)
    descriptors.clear()
