"""replay: a log file that python-can reads, played at its own pace, `speed` times as fast, or in a loop.

`Pace` is pure: it says when a recorded frame is due. Frames get the time at which they are played.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import can

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import Batch
from cancorderd.sources import permission
from cancorderd.sources.base import Counted
from cancorderd.sources.filters import acceptance
from cancorderd.sources.python_can import packet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.config.model import ReplayBus

_MOST_AT_ONCE = 500
"""Frames per call: a long burst in the file leaves the loop time for its clients."""
_LOOP_GAP_S = 0.001
"""Between the last frame of a pass and the first of the next; also keeps an empty file from spinning."""


class Pace:
    """Maps stamps of the log, in seconds, to the monotonic clock."""

    def __init__(self, speed: float, start_s: float) -> None:
        self._speed = speed
        self._start_s = start_s
        self._first: float | None = None

    def due_s(self, stamp_s: float) -> float:
        """When the frame with this stamp is due; the first one at once, and none before its forerunner."""
        if self._first is None:
            self._first = stamp_s
        return self._start_s + max(0.0, stamp_s - self._first) / self._speed


def open_source(section: ReplayBus) -> ReplaySource:
    return ReplaySource(section)


class ReplaySource(Counted):
    """An open log file."""

    def __init__(self, section: ReplayBus) -> None:
        super().__init__()
        self._section = section
        self._accepts = acceptance(section.filters)
        self._messages = self._from_the_start(time.monotonic())
        self._frames = 0
        self._waiting: can.Message | None = None
        self._due_s: float | None = 0.0
        try:
            self._advance()
        except BaseException:
            self.close()
            raise

    def due(self, now_s: float) -> float | None:
        return None if self._due_s is None else max(0.0, self._due_s - now_s)

    def read(self, now_s: float) -> Batch:
        packets: list[bytes] = []
        now_us = time.time_ns() // 1000
        while (
            self._waiting
            and self._due_s is not None
            and self._due_s <= now_s
            and len(packets) < _MOST_AT_ONCE
        ):
            message = self._waiting
            if message.is_error_frame:
                self.error_frames += 1
            elif message.is_remote_frame:
                self.remote_frames += 1
            elif self._accepts(message.arbitration_id, message.is_extended_id):
                late_us = round((now_s - self._due_s) * 1e6)
                packets.append(packet(message, now_us - late_us))
            self._advance()
        return Batch(b"".join(packets), len(packets))

    def close(self) -> None:
        self._waiting = None
        self._due_s = None
        self._reader.stop()

    def _from_the_start(self, start_s: float) -> Iterator[can.Message]:
        path = self._section.file
        try:
            self._reader = can.LogReader(path)
        except FileNotFoundError as error:
            raise AdapterAbsent(f"{path} does not exist. Put the log there, or correct file.") from error
        except PermissionError as error:
            raise AdapterAbsent(permission.remedy(path)) from error
        except Exception as error:
            raise SettingsRefused(
                f"{path}: {error}. Use a log that python-can reads, such as .log, .asc or .blf."
            ) from error
        self._pace = Pace(self._section.speed, start_s)
        return iter(self._reader)

    def _advance(self) -> None:
        """Fetch the next frame of the log; at its end start over or fall silent."""
        try:
            self._waiting = next(self._messages, None)
            if self._waiting is None and self._section.loop and self._frames:
                self._reader.stop()
                start_s = (self._due_s or time.monotonic()) + _LOOP_GAP_S
                self._messages = self._from_the_start(max(start_s, time.monotonic() - 1.0))
                self._waiting = next(self._messages, None)
        except (AdapterAbsent, SettingsRefused) as error:
            raise BusError(str(error)) from error
        except Exception as error:
            raise SettingsRefused(
                f"{self._section.file}: frame {self._frames + 1} is unreadable: {error}. "
                "Use a log that python-can reads."
            ) from error
        self._frames += 1
        if self._waiting is None:
            self._due_s = None
            self.details["replay"] = "at the end of the file"
        else:
            self._due_s = self._pace.due_s(self._waiting.timestamp)
