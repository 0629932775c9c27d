"""Frames as text, in the two formats of candump (can-utils: candump.c, lib.c). Pure.

Readable lines are `  can0  123   [8]  11 22 33 ...`, log lines `(1700000000.123456) can0 123#112233`. Log lines,
which other programs read and replay, equal candump's to the letter.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

Stamps: TypeAlias = Literal["", "a", "A", "d", "z"]
"""candump's -t: none, absolute, with the date, since the frame before, since the first frame."""

_STANDARD_WIDTH = 3
_EXTENDED_WIDTH = 8
_CLASSIC_LENGTH = 8
_ERR_FLAG = 0x2000_0000
"""CAN_ERR_FLAG (linux/can.h)"""
_FDF = 0x04
"""CANFD_FDF, which candump prints along with BRS (1) and ESI (2)."""


class CandumpWriter:
    """Formats frames from sources whose longest label has `width` characters.

    As in candump, relative time stamps count over all sources, and after the first extended id standard ids are
    indented.
    """

    def __init__(
        self, width: int, *, log: bool = False, stamps: Stamps = "", with_text: bool = False
    ) -> None:
        """`with_text`: readable lines end with the bytes as text."""
        self._width = width
        self._log = log
        self._with_text = with_text
        self._stamps: Stamps = ("z" if stamps == "z" else "a") if log else stamps
        self._indented = False
        self._base_us: int | None = None

    def line(self, source: str, frame: Frame) -> str:
        """Return the line, without its newline."""
        stamp = self._stamp(frame.timestamp_us)
        if self._log:
            return f"{stamp}{source:>{self._width}} {log_frame(frame)}"
        self._indented = self._indented or bool(frame.flags & EXTENDED)
        text = payload_text(frame) if self._with_text else ""
        return f" {stamp} {source:>{self._width}}  {long_frame(frame, indented=self._indented)}{text}"

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
    """Return the arbitration id; the number of digits shows whether it is extended. Of an error frame, its class."""
    if frame.flags & ERROR:
        return f"{_ERR_FLAG | frame.arbitration_id:0{_EXTENDED_WIDTH}X}"
    width = _EXTENDED_WIDTH if frame.flags & EXTENDED else _STANDARD_WIDTH
    return f"{frame.arbitration_id:0{width}X}"


def long_frame(frame: Frame, *, indented: bool) -> str:
    """Return id, length and bytes (lib.c: snprintf_long_canframe)."""
    number = f"{identifier(frame):>{_EXTENDED_WIDTH if indented else 0}}"
    length = len(frame.data)
    size = f"[{length:02}]" if frame.flags & FD else f" [{length}]"
    if frame.flags & REMOTE:
        return f"{number}  {size}  remote request"
    data = f" {frame.data.hex(' ').upper()}" if frame.data else ""
    return f"{number}  {size} {data}{'   ERRORFRAME' if frame.flags & ERROR else ''}"


def payload_text(frame: Frame) -> str:
    """Return the column of candump's -a: the bytes as ASCII, a dot for each other one; none for longer CAN FD frames."""
    if frame.flags & (REMOTE | ERROR) or len(frame.data) > _CLASSIC_LENGTH:
        return ""
    text = "".join(chr(byte) if 0x1F < byte < 0x7F else "." for byte in frame.data)
    return f"{chr(39):>{3 * (_CLASSIC_LENGTH - len(frame.data)) + 4}}{text}'"


def log_frame(frame: Frame) -> str:
    """Return the form that cansend and canplayer read (lib.c: snprintf_canframe)."""
    data = frame.data.hex().upper()
    if frame.flags & REMOTE:
        return f"{identifier(frame)}#R{len(frame.data) or ''}"
    if not frame.flags & FD:
        return f"{identifier(frame)}#{data}"
    flags = _FDF | (1 if frame.flags & BRS else 0) | (2 if frame.flags & ESI else 0)
    return f"{identifier(frame)}##{flags:X}{data}"
