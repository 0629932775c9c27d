"""A board with slcan firmware on a pseudo-terminal; an exhibit's knobs make it strange.

By the book (LAWICEL CAN232 manual 3.0) if no knob is turned. While it is open it sends numbered frames: id 0x100, with
their number as data. As a USB adapter that is wired to DTR, it notices when its port is opened.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.firmware.exhibit import Exhibit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK, BELL = b"\r", b"\a"
RATE = 50
_TURN_S = 0.005


def plain_line(number: int, stamp: bytes) -> bytes:
    """Return a numbered frame as the book has it, without its CR."""
    return b"t1008%016X" % number + stamp


def milliseconds(_number: int, now_s: float) -> bytes:
    """Return a stamp as the book has it: the millisecond of the current minute."""
    return b"%04X" % (round(now_s * 1000) % 60_000)


@dataclass(frozen=True, kw_only=True)
class SlcanExhibit(Exhibit):
    """Firmware, and for how long it is looked at."""

    seconds: float = 1.5
    keys: Mapping[str, object] = field(default_factory=dict)
    """Keys of the bus beside channel."""
    line: Callable[[int, bytes], bytes] = plain_line
    stamp: Callable[[int, float], bytes] = milliseconds
    """The stamp of a frame, if the host has asked for stamps, by its number and the monotonic time in seconds."""
    line_end: bytes = OK
    before_frame: Callable[[int], bytes] = lambda _number: b""
    """Text between the frames."""
    answers: Mapping[bytes, bytes] = field(default_factory=dict)
    """Answers to whole commands or their first letters, in place of the book's."""
    answers_after_s: float = 0.0
    echoes: bool = False
    deaf_s: float = 0.0
    """The board restarts when its port is opened, and hears nothing for this long."""
    banner: tuple[float, bytes] = (0.0, b"")
    """Text that the board prints, and how long after its port was opened."""
    babble: tuple[float, bytes] = (0.0, b"")
    """Text that the board prints again and again, and the interval."""
    rate: float = RATE
    """Frames per second."""
    streams_already: bool = False
    """An earlier program has left the adapter open, with another bitrate."""
    first_of_a_write: bool = False
    """Only the first command of a write is heard, as if the others did not fit its USB buffer."""


class SlcanBoard:
    """A board that is plugged in during the `with` block, and plays its exhibit."""

    def __init__(self, exhibit: SlcanExhibit) -> None:
        self.exhibit = exhibit
        self.sent_us: dict[int, int] = {}
        """When each numbered frame was sent, in microseconds since the epoch."""
        self.bitrate = b"S0" if exhibit.streams_already else b""
        self.is_open = exhibit.streams_already
        self.listen_only = False
        self._stamps = False
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        os.set_blocking(self._master, False)
        os.close(slave)  # from now on the master reports a hang-up until somebody opens the port
        self._opened_s: float | None = None
        self._banner_due = False
        self._input = self._output = b""
        self._later: list[tuple[float, bytes]] = []
        self._next_frame_s = self._next_babble_s = 0.0
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()
        os.close(self._master)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        while not self._ending:
            events = dict(poll.poll(1000 * _TURN_S)).get(self._master, 0)
            now_s = time.monotonic()
            if events & select.POLLHUP:
                self._opened_s = None
                time.sleep(_TURN_S)
                continue
            if self._opened_s is None:
                self._opened_s, self._banner_due = now_s, bool(self.exhibit.banner[1])
                self._input = b""
            if events & select.POLLIN:
                with contextlib.suppress(OSError):
                    self._hear(os.read(self._master, 4096), now_s)
            self._play(now_s, now_s - self._opened_s)

    def _hear(self, text: bytes, now_s: float) -> None:
        exhibit = self.exhibit
        assert self._opened_s is not None
        if now_s - self._opened_s < exhibit.deaf_s:
            return
        if exhibit.echoes:
            self._output += text
        *commands, self._input = (self._input + text).split(b"\r")
        for command in commands[:1] if exhibit.first_of_a_write else commands:
            if answer := self._answer(command):
                self._later.append((now_s + exhibit.answers_after_s, answer))

    def _answer(self, command: bytes) -> bytes:
        exhibit, kind = self.exhibit, command[:1]
        answer = self._by_the_book(command, kind)
        if exhibit.line_end != OK:
            answer = answer.replace(OK, exhibit.line_end)
        return exhibit.answers.get(command, exhibit.answers.get(kind, answer))

    def _by_the_book(self, command: bytes, kind: bytes) -> bytes:
        if kind in b"SsZYL" and kind and len(command) > 1:
            if self.is_open:
                return BELL
            if kind in b"Ss":
                self.bitrate = command
            elif kind == b"Z":
                self._stamps = command == b"Z1"
            return OK
        if command in (b"O", b"L"):
            if self.is_open or not self.bitrate:
                return BELL
            self.is_open, self.listen_only = True, command == b"L"
            return OK
        if command == b"C":
            was_open, self.is_open = self.is_open, False
            return OK if was_open else BELL
        known = {b"": OK, b"V": b"V1013\r", b"N": b"NA123\r", b"F": b"F00\r" if self.is_open else BELL}
        return known.get(command, BELL)

    def _play(self, now_s: float, opened_for_s: float) -> None:
        """Send everything that is due."""
        exhibit = self.exhibit
        if self._banner_due and opened_for_s >= exhibit.banner[0]:
            self._banner_due = False
            self._output += exhibit.banner[1]
        if exhibit.babble[1] and now_s >= self._next_babble_s:
            self._next_babble_s = now_s + exhibit.babble[0]
            self._output += exhibit.babble[1]
        while self._later and self._later[0][0] <= now_s:
            self._output += self._later.pop(0)[1]
        if not self.is_open or not exhibit.rate or opened_for_s < exhibit.deaf_s:
            self._next_frame_s = now_s
        elif now_s >= self._next_frame_s:
            self._next_frame_s = max(self._next_frame_s + 1 / exhibit.rate, now_s - 1 / exhibit.rate)
            number = len(self.sent_us) + 1
            self.sent_us[number] = time.time_ns() // 1000
            stamp = exhibit.stamp(number, now_s) if self._stamps else b""
            self._output += exhibit.before_frame(number) + exhibit.line(number, stamp) + exhibit.line_end
        with contextlib.suppress(OSError):  # full, or nobody there
            self._output = self._output[os.write(self._master, self._output) :] if self._output else b""
