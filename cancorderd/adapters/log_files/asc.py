"""Lines of Vector's .asc. Pure.

Other events than frames of CAN (statistics, states of controllers, other buses, markers) are no frames by design.
"""

from __future__ import annotations

import re

from cancorderd.adapters.log_files.entries import Kind, LogFrame, Unreadable, quoted
from cancorderd.adapters.log_files.line_parser import LineParser, all_bytes, is_comment, seconds
from cancorderd.protocol.frame import BRS, CLASSIC_MAX_LENGTH, ESI, EXTENDED, FD

_BASE = re.compile(r"\s*base\s+(hex|dec)(?:\s+timestamps\s+(absolute|relative))?", re.IGNORECASE)
_HEADER = re.compile(
    r"\s*(date|(no\s+)?internal\s+events\s+logged|begin\s+trigger\s*block|end\s+trigger\s*block|version|"
    r"start\s+of\s+measurement|previous\s+log\s*file)\b",
    re.IGNORECASE,
)
_EVENT = re.compile(r"\s*(-?\d+(?:[.,]\d+)?)\s+(\S+)(?:\s+(.*))?")
"""Time, channel or kind of the event, the rest."""
_OTHER_EVENT = re.compile(r"(statistic|j1939tp|overloadframe|trigger|log)", re.IGNORECASE)
"""Beginnings of events on a CAN channel that are no frames."""
_DIRECTIONS = frozenset({"rx", "tx"})
_FIRST_LETTER = re.compile(r"[A-Za-z]")


class AscParser(LineParser):
    """Parser of one .asc file."""

    name = "Vector's .asc"
    suffix = ".asc"

    def __init__(self) -> None:
        self._base = 16
        self._relative = False
        """Whether each stamp counts from the event before."""
        self._stamp_s = 0.0

    def frame(self, number: int, text: str) -> LogFrame | None:
        if is_comment(text) or _HEADER.match(text):
            return None
        if base := _BASE.match(text):
            self._base = 10 if base[1].lower() == "dec" else 16
            self._relative = (base[2] or "").lower() == "relative"
            return None
        event = _EVENT.fullmatch(text)
        if event is None:
            raise Unreadable(f"no event: {quoted(text)}")
        stamp_s = seconds(event[1].replace(",", "."))
        if self._relative:
            stamp_s = self._stamp_s = self._stamp_s + stamp_s
        channel, rest = event[2], event[3] or ""
        if channel.upper() == "CANFD":
            return self._fd_frame(number, stamp_s, rest.split())
        if channel.upper() == "CANXL":
            raise Unreadable("a CAN XL frame, which the protocol cannot carry")
        if channel.isdecimal():
            return self._classic_frame(number, stamp_s, channel, rest.split())
        if _FIRST_LETTER.match(channel):
            return None  # another bus, or the state of a controller
        raise Unreadable(f"no event: {quoted(text)}")

    def is_cut(self, frame: LogFrame, text: str) -> bool:
        """Bytes in hexadecimal have two digits."""
        return bool(frame.data) and self._base == 16 and len(text.rsplit(maxsplit=1)[-1]) == 1

    def _classic_frame(self, number: int, stamp_s: float, channel: str, words: list[str]) -> LogFrame | None:
        if words and words[0].lower() == "errorframe":
            return LogFrame(number, stamp_s, Kind.ERROR, channel=channel)
        if words and (_OTHER_EVENT.match(words[0]) or words[1:2] == ["TxRq"]):
            return None  # a frame that is to be sent is logged again when it is
        if len(words) < 3 or words[1].lower() not in _DIRECTIONS or words[2].lower() not in {"d", "r"}:
            raise Unreadable(f"no whole event: {quoted(' '.join(words))}")
        arbitration_id, flags = self._identifier(words[0])
        if words[2].lower() == "r":
            code = int(words[3], self._base) if words[3:] and words[3].isalnum() and len(words[3]) == 1 else 0
            return LogFrame(number, stamp_s, Kind.REMOTE, arbitration_id, flags, channel=channel, code=code)
        if len(words) < 4:
            raise Unreadable("no length")
        length = min(int(words[3], self._base), CLASSIC_MAX_LENGTH)
        data = self._bytes(words[4:], length)
        return LogFrame(number, stamp_s, Kind.DATA, arbitration_id, flags, data, channel)

    def _fd_frame(self, number: int, stamp_s: float, words: list[str]) -> LogFrame:
        if len(words) > 2 and words[2].lower() == "errorframe":
            return LogFrame(number, stamp_s, Kind.ERROR, channel=words[0])
        if len(words) > 3 and words[3] not in {"0", "1"}:
            del words[3]
        if len(words) < 7 or words[1].lower() not in _DIRECTIONS:
            raise Unreadable(f"no whole event: {quoted(' '.join(words))}")
        channel, _, can_id, brs, esi, code, length, *rest = words
        arbitration_id, flags = self._identifier(can_id)
        count = int(length)
        if not count and (number_of_bytes := int(code, self._base)):
            frame = LogFrame(number, stamp_s, Kind.REMOTE, arbitration_id, flags, channel=channel)
            return frame._replace(code=number_of_bytes)
        flags |= FD | (BRS if brs == "1" else 0) | (ESI if esi == "1" else 0)
        data = self._bytes(rest, count)
        return LogFrame(number, stamp_s, Kind.DATA, arbitration_id, flags, data, channel)

    def _identifier(self, text: str) -> tuple[int, int]:
        extended = text[-1:].lower() == "x"
        return int(text[:-1] if extended else text, self._base), EXTENDED if extended else 0

    def _bytes(self, words: list[str], length: int) -> bytes:
        return all_bytes(bytes(int(word, self._base) for word in words[:length]), length)
