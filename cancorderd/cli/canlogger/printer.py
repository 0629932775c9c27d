"""The thread that has standard output to itself, so that a slow or stopped terminal delays nothing else.

The event loop pushes lines, snapshots of the bus and streams of frames, all of them immutable values. The thread
writes them at the pace of the output and reads nothing else: none of the loop's objects is visible here.

Frames come directly from the worker, on a socket that is the `supervisor.worker_process.Tap` of the bus. If the
output is too slow the socket fills up; then the worker drops frames for this socket alone, and counts them.
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

from cancorderd.cli.canlogger import output_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.cli.canlogger.output_lines import FrameLines
    from cancorderd.ipc.messages import BusReport, Counts

_READ_BYTES = 1 << 13
"""About 370 frames, which are printed together: so long a line waits for its turn."""
_MAX_LINES = 1000
"""Lines that wait for an output that accepts nothing; beyond that, the oldest are dropped and counted."""
_NOTICE_EVERY_S = 1.0
"""Shortest time between two lines about frames that were not printed."""
_DRAIN_S = 1.0
"""Time at the end for the frames that still wait to be printed."""
_STUCK_S = 2.0
"""Time at the end after which an output that accepts nothing is given up."""


class Snapshot(NamedTuple):
    """The bus at the moment of a report."""

    clients: int
    frames_dropped: int
    """Frames that the worker dropped for the printer, since the start."""


class Ending(NamedTuple):
    """The last value that is pushed."""

    deadline_s: float
    """Time until which frames are printed, on the monotonic clock."""
    counts: Counts | None
    """For the closing lines; None if there are to be none."""


class Printer:
    """Writes to the file descriptor `output`. Every method but `finish` returns at once.

    `frames` formats the frames; None if none are to be printed. `on_output_closed` is called once, in the printer's
    thread, when nobody reads the output any more.
    """

    def __init__(
        self,
        output: int,
        frames: FrameLines | None,
        *,
        coloured: bool,
        on_output_closed: Callable[[], None],
        encoding: str = "utf-8",
    ) -> None:
        self._encoding = encoding
        self._coloured = coloured
        # Queues from the loop to the thread.
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._lines_dropped = 0
        self._snapshots: deque[Snapshot] = deque([Snapshot(0, 0)], maxlen=1)
        self._streams: deque[socket.socket | bytes] = deque()
        self._endings: deque[Ending] = deque(maxlen=1)
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        # The thread's own.
        self._output = output
        self._output_closed = False
        self._on_output_closed = on_output_closed
        self._frames = frames
        self._dropped_noticed = 0
        self._lines_dropped_noticed = 0
        self._next_notice_s = 0.0
        self._written = 0
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def print_line(self, word: str, text: str, colour: int | None = None) -> None:
        """Print `text` with the time and this tag; if it has several lines, the first is tagged."""
        self._push_line(self._tagged(word, text, colour))

    def print_plain(self, text: str) -> None:
        """Print `text` without time and tag."""
        self._push_line(f"{text}\n")

    def report(self, report: BusReport) -> None:
        """Push the numbers that lines about frames show."""
        self._snapshots.append(Snapshot(len(report.clients), report.counts.lost_taps))

    def open_stream(self) -> socket.socket:
        """Push a new stream of frames; return its other end. It is printed after those before it have ended."""
        ours, theirs = socket.socketpair()
        self._streams.append(ours)
        self._rouse()
        return theirs

    def append_rest(self, data: bytes) -> None:
        """Push the end of the last stream."""
        self._streams.extend(data[start : start + _READ_BYTES] for start in range(0, len(data), _READ_BYTES))
        self._rouse()

    def finish(self, counts: Counts | None) -> None:
        """Print the remaining frames for a while, then the remaining lines and the closing ones, and end.

        Blocks; an output that accepts nothing at all is given up.
        """
        self._endings.append(Ending(time.monotonic() + _DRAIN_S, counts))
        self._rouse()
        self._thread.join(_DRAIN_S)
        written = -1
        while self._thread.is_alive() and self._written != written:
            written = self._written
            self._thread.join(_STUCK_S)
        if not self._thread.is_alive():
            self._wake.close()
            self._waker.close()

    def _tagged(self, word: str, text: str, colour: int | None = None) -> str:
        tag = output_lines.tag(word, colour, coloured=self._coloured)
        return f"{output_lines.clock(time.time())} {tag} {text}\n"

    def _push_line(self, text: str) -> None:
        if len(self._lines) == _MAX_LINES:
            self._lines_dropped += 1
        self._lines.append(text)
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):  # it is roused already, or has finished
            self._waker.send(b"\0")

    # Everything below runs in the thread.

    def _run(self) -> None:
        while not self._endings:
            self._print_lines()
            self._wait(None)
        ending = self._endings[0]
        while self._streams and (left_s := ending.deadline_s - time.monotonic()) > 0:
            self._wait(left_s)
        self._print_lines()
        if ending.counts:
            printed = self._frames.printed if self._frames else None
            for line in output_lines.statistics(ending.counts, printed):
                self._write(self._tagged("stats", line))

    def _wait(self, patience_s: float | None) -> None:
        """Print frames of the first stream, or wait until there are frames or anything else to do."""
        stream = self._streams[0] if self._streams else None
        if isinstance(stream, bytes):
            self._streams.popleft()
            self._print_frames(stream)
            return
        readable = _readable([self._wake, stream] if stream else [self._wake], patience_s)
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
                if self._frames and not (self._streams and isinstance(self._streams[0], bytes)):
                    self._frames.start_stream()

    def _print_lines(self) -> None:
        while self._lines:
            dropped = self._lines_dropped - self._lines_dropped_noticed
            if dropped:
                self._lines_dropped_noticed += dropped
                text = f"Output too slow: {dropped} lines are missing here."
                self._write(self._tagged("error", text, output_lines.YELLOW))
            self._write(self._lines.popleft())

    def _print_frames(self, data: bytes) -> None:
        if self._frames:
            snapshot = self._snapshots[-1]
            self._notice_dropped(self._frames, snapshot.frames_dropped)
            self._write(self._frames.format(data, snapshot.clients))

    def _notice_dropped(self, frames: FrameLines, dropped: int) -> None:
        missing = dropped - self._dropped_noticed
        now_s = time.monotonic()
        if missing and now_s >= self._next_notice_s:
            self._next_notice_s = now_s + _NOTICE_EVERY_S
            self._dropped_noticed += missing
            frames.skip(missing)
            text = f"Output too slow: {missing} frames not printed (clients still receive them)."
            self._print_lines()
            self._write(self._tagged("can", text, output_lines.YELLOW))

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "replace")
        while data and not self._output_closed:
            try:
                count = os.write(self._output, data)
                data = data[count:]
                self._written += count
            except BlockingIOError:  # another program that shares the output has set it so
                poll = select.poll()
                poll.register(self._output, select.POLLOUT)
                poll.poll()
            except OSError:
                self._output_closed = True
                self._on_output_closed()


def _readable(sockets: list[socket.socket], patience_s: float | None) -> list[socket.socket]:
    """Wait until one of these sockets is readable, or for this time; return the readable ones."""
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(None if patience_s is None else 1000 * patience_s)}
    return [sock for sock in sockets if sock.fileno() in ready]
