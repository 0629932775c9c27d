"""replay: a log file, played at its own pace, `speed` times as fast, or in a loop.

A thread reads the file ahead (`read_ahead`), so that a file system that does not answer holds up no heartbeat.
`log_files/` knows the formats, `replay_pace` when a frame is due. Frames are stamped with the time at which they are due.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import AdapterAbsent, BusError, BusFailure, SettingsRefused
from cancorderd.adapters.filters import acceptance
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.adapters.log_files.log_file import USABLE, open_log, place
from cancorderd.adapters.read_ahead import ReadAhead
from cancorderd.adapters.replay_pace import LONGEST_GAP_S, SHORTENED_GAP_S, Pace
from cancorderd.host_clock import HostClock, clocks_us
from cancorderd.printable import printable
from cancorderd.protocol.batch import batch_of
from cancorderd.protocol.frame import EXTENDED
from cancorderd.protocol.internal_packets import BUS_ERROR, error_packet, remote_packet
from cancorderd.protocol.packets import TIMESTAMP, head, head_error

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from cancorderd.adapters.replay_settings import ReplaySettings
    from cancorderd.protocol.batch import Batch

_MOST_AT_ONCE = 500
"""Frames and flaws per call, so that a long burst in the file leaves the loop time for its clients."""
_LOOP_GAP_S = 0.001
"""Pause between the last frame of a pass and the first of the next, which also keeps a short file from spinning."""
_OPEN_S = 0.5
"""How long opening waits for the first frame; then the bus is waiting for it."""
_STILL_S = 2.0
"""How long the thread may fetch nothing before the bus is waiting for it."""
_LOOK_S = 1.0
"""Interval at which a file without frames is looked at for a change."""
_LATEST_S = 5.0
"""How far a stamp may lie behind the time at which a frame is played, if `speed` is more than the machine can do."""
_MOST_TOLD = 5
"""Flaws, gaps and steps of each pass that the log of the bus names one by one."""


class _Begin(NamedTuple):
    """A pass begins; `unit` is that of the file's numbers."""

    unit: str
    remark: str


class _Play(NamedTuple):
    """A frame; `packet` lacks the time stamp, and is empty if the filters or the protocol exclude the frame."""

    stamp_s: float
    number: int
    kind: Kind
    packet: bytes


class _Skipped(NamedTuple):
    """A place that could not be read."""

    number: int
    fact: str


class _End(NamedTuple):
    """A pass ends."""

    frames: int
    channels: tuple[str, ...]


_Item = _Begin | _Play | _Skipped | _End


class ReplaySource(BaseSource):
    """An open log file."""

    def __init__(self, settings: ReplaySettings) -> None:
        super().__init__()
        self._file = printable(settings.file)
        self._loop = settings.loop
        self._speed = settings.speed
        self._pace = Pace(settings.speed, time.monotonic())
        self._report = _PassReport(self._file)
        self._next: _Play | None = None
        self._due_s = 0.0
        self._empty_s = time.monotonic()
        """When the thread had nothing more."""
        self._allowed = 0
        """Items that the present call may still take."""
        self._more = False
        """Whether the last call took all that it may, and found no frame."""
        self._ended = False
        self._failure: BusFailure | None = None
        self._clock = HostClock()
        self._last_us = 0
        """The latest stamp since the host's clock was set."""
        accepts = acceptance(settings.filters)
        self._log = ReadAhead[_Item](lambda ending: _passes(settings, accepts, ending))
        try:
            self._await_first_frame()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._log.fileno()

    def due(self, now_s: float) -> float | None:
        if self._next is not None:
            return max(0.0, self._due_s - now_s)
        if self._more or self._failure is not None:
            return 0.0
        if self._ended or self.waiting:
            return None
        return max(0.0, self._empty_s + _STILL_S - now_s)

    def read(self, now_s: float) -> Batch:
        self._log.hush()
        packets: list[bytes] = []
        internal: list[int] = []
        now_us, monotonic_us = clocks_us()
        if self._clock.step_us(now_us, monotonic_us):
            self._last_us = 0
        self._allowed = _MOST_AT_ONCE
        self._fetch(now_s)
        while self._next is not None and self._due_s <= now_s:
            play, self._next = self._next, None
            if play.kind is Kind.ERROR:
                self.error_frames += 1
            elif play.kind is Kind.REMOTE:
                self.remote_frames += 1
            if play.packet and (play.kind is Kind.DATA or self.internal):
                if play.kind is not Kind.DATA:
                    internal.append(len(packets))
                packets.append(TIMESTAMP.pack(self._stamp_us(now_us, now_s - self._due_s)) + play.packet)
            self._fetch(now_s)
        if self._failure is not None and not packets:
            is_late = isinstance(self._failure, AdapterAbsent) and not self.waiting
            raise BusError(str(self._failure)) if is_late else self._failure
        return batch_of(packets, internal)

    def close(self) -> None:
        self._next, self._more = None, False
        self._ended = True
        self._log.close()

    def _await_first_frame(self) -> None:
        """Wait a moment for the first frame. Raises the reason if there will be none."""
        deadline_s = time.monotonic() + _OPEN_S
        while self._next is None and not self._ended and not self.waiting:
            now_s = time.monotonic()
            if now_s >= deadline_s or not self._log.wait(deadline_s - now_s):
                self.waiting = self._slow_reason
                return
            self._allowed = _MOST_AT_ONCE
            self._fetch(now_s)
            if self._failure is not None:
                raise self._failure

    def _fetch(self, now_s: float) -> None:
        """Fetch the next frame of the log; what lies before it is counted."""
        self._more = False
        while self._next is None and self._failure is None and self._allowed > 0:
            self._allowed -= 1
            if (item := self._next_item()) is None:
                if not (self._ended or self.waiting) and now_s - self._empty_s >= _STILL_S:
                    self.waiting = self._slow_reason
                return
            match item:
                case _Play() as play:
                    self._next = play
                    self._due_s = self._due_time(play)
                    self._empty_s, self.waiting = max(now_s, self._due_s), ""
                case _Skipped(number, fact):
                    self.error_frames += 1
                    self._tell(self._report.skipped(number, fact))
                    self.details["skipped"] = self._report.skipped_text
                case _Begin(unit, remark):
                    self._tell(self._report.begin(unit, remark))
                case _End() as end:
                    self._end_pass(end)
        self._more = self._next is None and self._failure is None

    def _next_item(self) -> _Item | None:
        try:
            return self._log.next_item()
        except BusFailure as error:
            self._failure = error
            return None

    def _due_time(self, play: _Play) -> float:
        gaps, steps_back = self._pace.gaps, self._pace.steps_back
        due_s = self._pace.due_s(play.stamp_s)
        if self._pace.gaps > gaps:
            fact = f"a gap of more than {LONGEST_GAP_S / 60:g} minutes before this frame is shortened"
            self._tell(self._report.clock(play.number, f"{fact} to {SHORTENED_GAP_S:g} s"))
        elif self._pace.steps_back > steps_back:
            self._tell(self._report.clock(play.number, "the log's clock was set back before this frame"))
        return due_s

    def _end_pass(self, end: _End) -> None:
        self._tell(self._report.end(end.frames, end.channels))
        if self._report.channels_text:
            self.details["channels"] = self._report.channels_text
        if not end.frames:
            if self._report.first_skipped:
                self._failure = SettingsRefused(f"{self._report.first_skipped}. {USABLE}")
            self.waiting = f"there is no frame in {self._file}. Put frames there, or correct file."
        elif self._loop:
            self._pace = Pace(self._speed, max(self._due_s + _LOOP_GAP_S, time.monotonic() - 1.0))
        else:
            self._ended = True
            self.details["replay"] = "at the end of the file"

    def _stamp_us(self, now_us: int, late_s: float) -> int:
        """Return the time at which a frame was due, never before the last one unless the host's clock was set."""
        stamp_us = now_us - round(min(late_s, _LATEST_S) * 1e6)
        self._last_us = max(self._last_us, stamp_us)
        return self._last_us

    def _tell(self, sentences: list[tuple[str, str]]) -> None:
        self.notices += sentences

    @property
    def _slow_reason(self) -> str:
        return f"{self._file} is still being read. If this lasts, look for a file system that does not answer (df, mount)."


class _PassReport:
    """Words what is strange about a pass. Later passes of a loop are reported only if they differ from the first."""

    def __init__(self, file: str) -> None:
        self.first_skipped = ""
        self.channels_text = ""
        self._file = file
        self._unit = "line"
        self._skipped = 0
        self._told = 0
        self._known: tuple[int, int] | None = None
        """Frames and flaws of the pass before."""

    @property
    def skipped_text(self) -> str:
        """Number of flaws in this pass, and the first."""
        return f"{self._counted(self._skipped)}; the first: {self.first_skipped}"

    def begin(self, unit: str, remark: str) -> list[tuple[str, str]]:
        self._unit, self._skipped, self._told = unit, 0, 0
        return [("info", remark)] if remark and self._known is None else []

    def skipped(self, number: int, fact: str) -> list[tuple[str, str]]:
        """Return the sentence about a place that was skipped."""
        text = f"{place(self._file, self._unit, number)}: {fact}"
        if not self._skipped:
            self.first_skipped = text
        self._skipped += 1
        return self._limited(f"{text}. Skipped.")

    def clock(self, number: int, fact: str) -> list[tuple[str, str]]:
        """Return the sentence about a step of the log's clock."""
        return self._limited(f"{place(self._file, self._unit, number)}: {fact}.")

    def end(self, frames: int, channels: tuple[str, ...]) -> list[tuple[str, str]]:
        known, self._known = self._known, (frames, self._skipped)
        if known == self._known:
            return []
        sentences = []
        if self._skipped and frames:
            text = f"{self._file}: {self._counted(self._skipped)} unreadable and skipped; frames played: {frames}."
            sentences.append(("warning", text))
        if len(channels) > 1:
            self.channels_text = ", ".join(channels)
            text = f"{self._file}: the frames of its channels {self.channels_text} are played on one bus."
            sentences.append(("info", text))
        return sentences

    def _limited(self, text: str) -> list[tuple[str, str]]:
        if self._known is not None or self._told >= _MOST_TOLD:
            return []
        self._told += 1
        return [("warning", text)]

    def _counted(self, number: int) -> str:
        noun = self._unit if self._unit in {"line", "row"} else "place"
        return f"{number} {noun}{'' if number == 1 else 's'}"


def _passes(
    settings: ReplaySettings, accepts: Callable[[int, bool], bool], ending: threading.Event
) -> Iterator[_Item]:
    """Yield what the file holds, again and again if it is played in a loop. Runs in the thread; raises BusFailure."""
    while True:
        known = _state_of(settings.file)
        frames = 0
        channels: dict[str, None] = {}
        log = open_log(settings.file)
        yield _Begin(log.unit, log.remark)
        for entry in log.entries:
            item = _Skipped(*entry) if isinstance(entry, Flaw) else _played(entry, accepts)
            if isinstance(entry, LogFrame) and isinstance(item, _Play):
                frames += 1
                if entry.channel:
                    channels.setdefault(entry.channel)
            yield item
        yield _End(frames, tuple(channels))
        if frames:
            if not settings.loop:
                return
        else:
            while _state_of(settings.file) == known:
                if ending.wait(_LOOK_S):
                    return


def _played(frame: LogFrame, accepts: Callable[[int, bool], bool]) -> _Play | _Skipped:
    _, stamp_s, kind, arbitration_id, flags, data, *_ = frame
    if kind is not Kind.DATA:
        return _Play(stamp_s, frame.number, kind, _internal_packet(frame, accepts)[TIMESTAMP.size :])
    if fact := head_error(arbitration_id, flags, len(data)):
        return _Skipped(frame.number, fact)
    packet = b""
    if accepts(arbitration_id, bool(flags & EXTENDED)):
        packet = head(arbitration_id, flags, len(data)) + data
    return _Play(stamp_s, frame.number, kind, packet)


def _internal_packet(frame: LogFrame, accepts: Callable[[int, bool], bool]) -> bytes:
    """Return the packet of an error frame, or of a remote frame that the filters pass; empty for any other."""
    if frame.kind is Kind.ERROR:
        return error_packet(0, frame.arbitration_id or BUS_ERROR, frame.data)
    extended = bool(frame.flags & EXTENDED)
    if not accepts(frame.arbitration_id, extended):
        return b""
    return remote_packet(0, frame.arbitration_id, frame.code, extended=extended)


def _state_of(path: str) -> tuple[int, ...] | None:
    """Return by what a change of the file shows."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
