"""Lines of candump: its log (`candump -L`), and its screen with time stamps (`candump -t a`). Pure.

can-utils, lib.c: `parse_canframe` and `sprint_long_canframe`.
"""

from __future__ import annotations

import re

from cancorderd.adapters.can_frame import EFF_FLAG, EFF_MASK, ERR_FLAG
from cancorderd.adapters.log_files.entries import Kind, LogFrame, Unreadable, quoted
from cancorderd.adapters.log_files.line_parser import LineParser, all_bytes, is_comment, payload, seconds
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD

_LOGGED = re.compile(
    r"\s*\(\s*([^)]*?)\s*\)\s+(?:([^\s#]+)\s+)?([0-9A-Fa-f]+)#(\S*)(?:\s+([RTrt])(?:\s+[BE-])*)?\s*"
)
"""Time, channel, id, the rest of the frame, direction."""
_SHOWN = re.compile(
    r"\s*(?:\(\s*([^)]*?)\s*\)\s+)?(\S+)\s+(?:[RT]X\s+\S\s+\S\s+)?([0-9A-Fa-f]{3,8})\s+\[(\d+)\](?:\s*\{\w\})?\s*(.*)"
)
"""Time, channel, id, length (of two digits if the frame is CAN FD), bytes."""
_FRAME_XL = re.compile(r"\s*\([^)]*\)\s+\S+\s+[0-9A-Fa-f]{5}#[0-9A-Fa-f]{2}:")
_REMOTE = re.compile(r"[Rr](\d?)(?:_([9A-Fa-f]))?")
"""Length, data length code above 8."""
_STANDARD_DIGITS = 3
_MOST_IDS = 8192
"""Ids whose lengths are remembered, so that noise cannot grow the memory."""
_FLAG_BRS = 0x01
_FLAG_ESI = 0x02


class CandumpParser(LineParser):
    """Parser of one file of candump."""

    name = "candump's log"
    suffix = ".log"

    def __init__(self) -> None:
        self._lengths: dict[tuple[int, int], int] = {}
        """Bytes of the latest frame of each id."""
        self._length_before: int | None = None
        """Bytes of the frame with the same id before the latest."""
        self._directions = False
        """Whether a line before the latest has a direction at its end."""
        self._lacks_direction = False

    def frame(self, number: int, text: str) -> LogFrame | None:
        if logged := _LOGGED.fullmatch(text):
            stamp, channel, can_id, rest, direction = logged.groups()
            if ":" in rest and _FRAME_XL.match(text):
                raise Unreadable("a CAN XL frame, which the protocol cannot carry")
            self._lacks_direction = self._directions and direction is None
            self._directions |= direction is not None
            frame = _logged_frame(number, seconds(stamp), can_id, rest, channel or "")
            frame_id = (frame.arbitration_id, frame.flags & EXTENDED)
            self._length_before = self._lengths.get(frame_id)
            if len(self._lengths) > _MOST_IDS:
                self._lengths.clear()
            self._lengths[frame_id] = len(frame.data)
            return frame
        if shown := _SHOWN.fullmatch(text):
            self._lacks_direction, self._length_before = False, 0  # this form tells the length
            return _shown_frame(number, shown)
        if is_comment(text):
            return None
        raise Unreadable(f"no frame: {quoted(text)}")

    def is_cut(self, frame: LogFrame, text: str) -> bool:  # noqa: ARG002
        """Nothing in a line of candump tells its length, so that it is compared with those of the lines before."""
        if self._lacks_direction:
            return True
        if self._length_before is not None:
            return len(frame.data) < self._length_before
        others = set(list(self._lengths.values())[:-1])
        return len(others) == 1 and len(frame.data) < others.pop()


def _identified(can_id: str) -> tuple[int, int, Kind]:
    """Return the id, the flag of its form, and the kind of the frame."""
    number = int(can_id, 16)
    if len(can_id) <= _STANDARD_DIGITS:
        return number, 0, Kind.DATA
    if number & ERR_FLAG and not number & EFF_FLAG:
        return number & EFF_MASK, 0, Kind.ERROR
    if number & EFF_FLAG:
        number &= ~EFF_FLAG  # some loggers write SocketCAN's flag bit
    return number, EXTENDED, Kind.DATA


def _logged_frame(number: int, stamp_s: float, can_id: str, rest: str, channel: str) -> LogFrame:
    arbitration_id, flags, kind = _identified(can_id)
    if kind is Kind.ERROR:
        return LogFrame(number, stamp_s, kind, arbitration_id, data=payload(rest), channel=channel)
    if remote := _REMOTE.fullmatch(rest):
        code = int(remote[2] or remote[1] or "0", 16)
        return LogFrame(number, stamp_s, Kind.REMOTE, arbitration_id, flags, channel=channel, code=code)
    if rest.startswith("#"):
        try:
            bits = int(rest[1:2], 16)
        except ValueError:
            raise Unreadable(f"a CAN FD frame without flags: {quoted(rest)}") from None
        flags |= FD | (BRS if bits & _FLAG_BRS else 0) | (ESI if bits & _FLAG_ESI else 0)
        rest = rest[2:]
    else:
        rest = rest.partition("_")[0]  # the DLC code of a classic frame of 8 bytes (candump -8)
    data = payload(rest.replace(".", ""))
    return LogFrame(number, stamp_s, Kind.DATA, arbitration_id, flags, data, channel)


def _shown_frame(number: int, shown: re.Match[str]) -> LogFrame:
    stamp, channel, can_id, length, rest = shown.groups()
    if stamp is None:
        raise Unreadable("a frame without a time, as candump prints it without -L")
    arbitration_id, flags, kind = _identified(can_id)
    if kind is Kind.DATA and rest.startswith("remote request"):
        kind = Kind.REMOTE
    if len(length) > 1:
        flags |= FD
    data = b""
    if kind is not Kind.REMOTE:
        data = all_bytes(payload("".join(rest.split()[: int(length)])), int(length))
    code = int(length) if kind is Kind.REMOTE else 0
    return LogFrame(number, seconds(stamp), kind, arbitration_id, flags, data, channel, code)
