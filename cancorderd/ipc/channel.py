"""The channel between the supervisor and a worker: messages, payloads and sockets over a Unix socket.

A message is a header (length of the JSON, length of the payload, number of descriptors), its JSON as `messages`
writes it, and its payload. Descriptors travel with the header's first byte (SCM_RIGHTS), so they never arrive
after their message. Both ends are non-blocking: the owner of a channel watches it for reading always, and for
writing while `backlog` is true. Neither a channel nor a socket that arrives on it is inherited by a program that
this process starts: a driver's helper could otherwise keep a channel open for its worker, or a port for its bus.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.ipc import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct(">IIB")
_READ_BYTES = 1 << 18
_MAX_BODY = 16 << 20
"""More than the settings of any bus, or a report on the most clients that a bus can have."""
_MAX_PAYLOAD = 2 << 30
"""More than a client's backlog can hold (`client_backlog` is at most 1 GiB)."""
_MAX_DESCRIPTORS = 64
"""More listening sockets than any bus has addresses; SCM_MAX_FD is 253."""
_MAX_REST_READS = 1000
"""More reads than the messages in a socket's buffer need: each occupies about a kilobyte of some 200."""
_NO_ROOM = (errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
"""The socket's buffer or the system's memory is full, or too many sockets of this user are on their way (unix(7))."""
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Not on macOS, where a program that another thread starts at this moment can inherit the socket."""


class ChannelClosed(Exception):
    """The other end is closed, or its process has ended."""


class ChannelBroken(ChannelClosed):
    """What arrives cannot be trusted any more. `str()` gives the reason and the remedy; close the channel."""


class ReceivedMessage(NamedTuple):
    """A message. The receiver owns its descriptors and has to close them."""

    message: messages.Message
    payload: bytes
    descriptors: list[int]


def pair() -> tuple[Channel, socket.socket]:
    """Return the supervisor's end, and the socket that the worker inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Channel(ours), theirs


class Channel:
    """End of a channel. `send` never blocks: bytes that the socket has no room for wait until `flush`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._sock.set_inheritable(False)
        self._in = bytearray()
        self._in_descriptors: list[int] = []
        self._out: deque[tuple[list[memoryview], Sequence[socket.socket]]] = deque()

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def backlog(self) -> bool:
        """True while there are bytes that `flush` has to send."""
        return bool(self._out)

    def send(
        self, message: messages.Message, payload: bytes = b"", sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Send a message with copies of these sockets, which have to stay open while `backlog` is true.

        They are not copied here: a process that has used up its descriptors has to pass its sockets on, too.
        Raises ChannelClosed.
        """
        body = messages.to_json(message)
        head = _HEADER.pack(len(body), len(payload), len(sockets)) + body
        # A payload can be a large part of the memory: it is sent from where it is, without a copy.
        self._out.append(([memoryview(head), memoryview(payload)], sockets))
        self.flush()

    def flush(self) -> bool:
        """Send as much as the socket has room for; returns whether anything was sent.

        Raises ChannelClosed; nothing more can be sent then.
        """
        try:
            return self._flush()
        except ChannelClosed:
            self._out.clear()
            raise

    def _flush(self) -> bool:
        progress = False
        while self._out:
            data, sockets = self._out[0]
            descriptors = [sock.fileno() for sock in sockets]
            if -1 in descriptors:
                raise ChannelBroken("a socket was closed before it was passed on. This is a bug; report it.")
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                sent = self._sock.sendmsg(data, rights if descriptors else [])
            except OSError as error:
                if error.errno in _NO_ROOM:
                    break
                raise ChannelClosed(str(error)) from error
            progress = True
            if left := _after(data, sent):
                self._out[0] = (left, ())
            else:
                self._out.popleft()
        return progress

    def flush_within(self, seconds: float) -> None:
        """Send everything, and wait for the other end to read it; gives up after `seconds` without progress."""
        self._sock.settimeout(seconds)
        with contextlib.suppress(ChannelClosed, TimeoutError):
            self.flush()

    def receive(self) -> list[ReceivedMessage]:
        """Return every whole message that has arrived. Raises ChannelClosed at the end of the stream."""
        try:
            self._read()
        except (BlockingIOError, InterruptedError):
            return []
        return self._whole_messages()

    def receive_rest(self) -> list[ReceivedMessage]:
        """Return what a process that has ended left in the channel. Never waits, whoever else has its end."""
        found: list[ReceivedMessage] = []
        with contextlib.suppress(BlockingIOError, ChannelClosed):
            for _ in range(_MAX_REST_READS):
                self._read()
                found += self._whole_messages()
        return found

    def _read(self) -> None:
        """Read once. Raises BlockingIOError if nothing has arrived, and ChannelClosed."""
        size = array.array("i").itemsize
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(
                _READ_BYTES, socket.CMSG_SPACE(_MAX_DESCRIPTORS * size), _CLOSE_ON_EXEC
            )
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                arrived = array.array("i")
                arrived.frombytes(content[: len(content) - len(content) % size])
                self._in_descriptors.extend(arrived)
                for descriptor in arrived:
                    os.set_inheritable(descriptor, False)
        if flags & socket.MSG_CTRUNC:
            # From here on, a descriptor could be taken for that of another message.
            raise ChannelBroken(
                "sockets were lost on their way between supervisor and worker, since no descriptor was free. "
                "Raise the limit of open files (ulimit -n, LimitNOFILE=)."
            )
        if not data:
            raise ChannelClosed("the other end is gone")
        self._in += data

    def _whole_messages(self) -> list[ReceivedMessage]:
        found: list[ReceivedMessage] = []
        try:
            while message := self._next_message():
                found.append(message)
        except ChannelBroken:
            for received in found:
                _close_all(received.descriptors)
            raise
        return found

    def _next_message(self) -> ReceivedMessage | None:
        """Return the next message if all of it has arrived. Raises ChannelBroken."""
        if len(self._in) < _HEADER.size:
            return None
        body_length, payload_length, count = _HEADER.unpack_from(self._in)
        if body_length > _MAX_BODY or payload_length > _MAX_PAYLOAD or count > len(self._in_descriptors):
            raise _unreadable(bytes(self._in[: _HEADER.size]))
        body_end = _HEADER.size + body_length
        end = body_end + payload_length
        if len(self._in) < end:
            return None
        body = bytes(self._in[_HEADER.size : body_end])
        try:
            message = messages.from_json(body)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise _unreadable(body) from error
        with memoryview(self._in) as view, view[body_end:end] as payload:
            received = ReceivedMessage(message, bytes(payload), self._in_descriptors[:count])
        del self._in_descriptors[:count]
        del self._in[:end]
        return received

    def close(self) -> None:
        """Close this end and all descriptors that were not received. Safe to call twice."""
        self._out.clear()
        _close_all(self._in_descriptors)
        self._sock.close()


def _after(data: Sequence[memoryview], count: int) -> list[memoryview]:
    """Return what follows the first `count` bytes."""
    left = []
    for view in data:
        if count < len(view):
            left.append(view[count:])
        count = max(0, count - len(view))
    return left


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()


def _unreadable(data: bytes) -> ChannelBroken:
    return ChannelBroken(
        f"a message between supervisor and worker cannot be read: it begins with {data[:40]!r}. "
        "Look for a driver or a library that writes to descriptors of others."
    )
