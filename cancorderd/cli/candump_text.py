"""Frames as text, in the two formats of candump (can-utils: candump.c, lib.c). Pure.

Readable lines are `  can0  123   [8]  11 22 33 ...`, log lines `(1700000000.123456) can0 123#112233`. Where
candump is to read or replay them, they are the same to the letter.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from cancorderd.frame import BRS, ESI, EXTENDED, FD

if TYPE_CHECKING:
    from cancorderd.frame import Frame

Stamps: TypeAlias = Literal["", "a", "A", "d", "z"]
"""candump's -t: none, absolute, with the date, since the frame before, since the first one."""

_STANDARD_WIDTH = 3
_EXTENDED_WIDTH = 8
_FDF = 0x04
"""CANFD_FDF, which candump prints along with BRS (1) and ESI (2)."""


class Writer:
    """Lines of frames from sources whose longest name has `width` characters.

    Time stamps run over all sources, and standard ids are indented from the first extended one on, as candump does.
    """

    def __init__(self, width: int, *, log: bool = False, stamps: Stamps = "") -> None:
        self._width = width
        self._log = log
        self._stamps: Stamps = ("z" if stamps == "z" else "a") if log else stamps
        self._indented = False
        self._base_us: int | None = None

    def line(self, source: str, frame: Frame) -> str:
        """Without an end of line."""
        stamp = self._stamp(frame.timestamp_us)
        if self._log:
            return f"{stamp}{source:>{self._width}} {log_frame(frame)}"
        self._indented = self._indented or bool(frame.flags & EXTENDED)
        return f" {stamp} {source:>{self._width}}  {long_frame(frame, indented=self._indented)}"

    def _stamp(self, now_us: int) -> str:
        if not self._stamps:
            return ""
        if self._stamps == "a":
            return f"({now_us // 1_000_000:010}.{now_us % 1_000_000:06}) "
        if self._stamps == "A":
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now_us // 1_000_000))
            return f"({clock}.{now_us % 1_000_000:06}) "
        past_us = 0 if self._base_us is None else max(0, now_us - self._base_us)
        if self._base_us is None or self._stamps == "d":
            self._base_us = now_us
        return f"({past_us // 1_000_000:03}.{past_us % 1_000_000:06}) "


def identifier(frame: Frame) -> str:
    """The arbitration id: as many digits as tell whether it is extended."""
    width = _EXTENDED_WIDTH if frame.flags & EXTENDED else _STANDARD_WIDTH
    return f"{frame.arbitration_id:0{width}X}"


def long_frame(frame: Frame, *, indented: bool) -> str:
    """Id, length and bytes (lib.c: snprintf_long_canframe)."""
    number = f"{identifier(frame):>{_EXTENDED_WIDTH if indented else 0}}"
    length = len(frame.data)
    size = f"[{length:02}]" if frame.flags & FD else f" [{length}]"
    data = f" {frame.data.hex(' ').upper()}" if frame.data else ""
    return f"{number}  {size} {data}"


def log_frame(frame: Frame) -> str:
    """What cansend and canplayer take (lib.c: snprintf_canframe)."""
    data = frame.data.hex().upper()
    if not frame.flags & FD:
        return f"{identifier(frame)}#{data}"
    flags = _FDF | (1 if frame.flags & BRS else 0) | (2 if frame.flags & ESI else 0)
    return f"{identifier(frame)}##{flags:X}{data}"
