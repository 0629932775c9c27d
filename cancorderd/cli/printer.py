"""Who prints: a thread that has standard output for itself, so that a slow or stopped terminal delays nothing else.

It prints lines, and frames as they come on a stream of their own from the worker. While the output takes nothing
the stream fills up; then the worker drops frames, for this stream alone, and counts them.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.cli import tagged

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 1 << 13
"""Some 370 frames: what is printed in one go, and so how long a line waits for its turn."""
_MOST_LINES = 1000
"""Lines that wait for an output that takes nothing; past that the oldest are given up."""
_TELL_EVERY_S = 1.0


class Hearing(NamedTuple):
    """Who hears the bus."""

    clients: int
    dropped: int
    """Frames that were to be printed, and never came."""


class Printer:
    """Also the `supervisor.process.Ear` of -v.

    In its thread, it calls `hearing` now and then, and `gone` when nobody reads the output any more.
    """

    def __init__(
        self,
        output: int,
        frames: tagged.FrameLines,
        hearing: Callable[[], Hearing],
        *,
        coloured: bool,
        gone: Callable[[], None],
    ) -> None:
        self.frames = frames
        self._hearing = hearing
        self._output = output
        self._coloured = coloured
        self._gone: Callable[[], None] | None = gone
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._streams: deque[socket.socket | bytes] = deque()
        self._told = 0
        self._next_telling_s = 0.0
        self._written = 0
        self._ends_s: float | None = None
        self._sum_up: Callable[[], None] = lambda: None
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def say(self, word: str, text: str, colour: int | None = None) -> None:
        """Print a line with this tag; of several lines, the tag goes before the first. Returns at once."""
        self._put(f"{tagged.clock(time.time())} {tagged.tag(word, colour, coloured=self._coloured)} {text}\n")

    def plain(self, text: str) -> None:
        """Print this without time and tag."""
        self._put(f"{text}\n")

    def open(self) -> socket.socket:
        """A new stream of frames: its other end. It is printed once those before it have ended."""
        ours, theirs = socket.socketpair()
        self._streams.append(ours)
        self._rouse()
        return theirs

    def take(self, owed: bytes) -> None:
        """The rest of the last stream."""
        self._streams.extend(owed[start : start + _READ_BYTES] for start in range(0, len(owed), _READ_BYTES))
        self._rouse()

    def finish(self, frames_s: float, stuck_s: float, sum_up: Callable[[], None]) -> None:
        """Print the frames that are left, for at most `frames_s`, then the lines and what `sum_up` says, and end.

        An output that takes nothing at all for `stuck_s` is given up.
        """
        self._sum_up = sum_up
        self._ends_s = time.monotonic() + frames_s
        self._rouse()
        self._thread.join(frames_s)
        written = -1
        while self._thread.is_alive() and self._written != written:
            written = self._written
            self._thread.join(stuck_s)

    def _put(self, text: str) -> None:
        self._lines.append(text)
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"\0")

    # From here on, what the thread does.

    def _run(self) -> None:
        while True:
            ends_s = self._ends_s
            if ends_s is None:
                self._print_lines()
            if ends_s is not None and (not self._streams or time.monotonic() >= ends_s):
                break
            self._wait(None if ends_s is None else max(0.0, ends_s - time.monotonic()))
        self._sum_up()
        self._print_lines()

    def _wait(self, patience_s: float | None) -> None:
        stream = self._streams[0] if self._streams else None
        if isinstance(stream, bytes):
            self._streams.popleft()
            self._print_frames(stream)
            return
        readable, _, _ = select.select([self._wake, stream] if stream else [self._wake], [], [], patience_s)
        if self._wake in readable:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(1 << 12)
        if stream and stream in readable:
            data = stream.recv(_READ_BYTES)
            if data:
                self._print_frames(data)
            else:
                stream.close()
                self._streams.popleft()
                if not (self._streams and isinstance(self._streams[0], bytes)):
                    self.frames.begin_anew()

    def _print_lines(self) -> None:
        while self._lines:
            self._write(self._lines.popleft())

    def _print_frames(self, data: bytes) -> None:
        hearing = self._hearing()
        self._tell_dropped(hearing.dropped)
        self._write(self.frames.of(data, hearing.clients))

    def _tell_dropped(self, dropped: int) -> None:
        missing = dropped - self._told
        now_s = time.monotonic()
        if missing and now_s >= self._next_telling_s:
            self._next_telling_s = now_s + _TELL_EVERY_S
            self._told += missing
            self.frames.skip(missing)
            self.say(
                "can",
                f"{missing} frames are not printed: this output is too slow. Clients get them.",
                tagged.YELLOW,
            )
            self._print_lines()

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data and self._gone:
            try:
                count = os.write(self._output, data)
                data = data[count:]
                self._written += count
            except BlockingIOError:  # somebody who shares it has set it so
                select.select([], [self._output], [])
            except OSError:
                gone, self._gone = self._gone, None
                gone()
