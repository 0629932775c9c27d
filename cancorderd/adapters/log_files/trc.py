"""Lines of PEAK's .trc, versions 1.0 to 2.1. Pure.

PEAK CAN TRC File Format (peak-system.com). Stamps are milliseconds. Other events than frames (warnings, states, error
counters, markers) are no frames by design.
"""

from __future__ import annotations

from cancorderd.adapters.log_files.entries import Kind, LogFrame, Unreadable, quoted
from cancorderd.adapters.log_files.line_parser import LineParser, all_bytes, is_comment, payload, seconds
from cancorderd.protocol.frame import BRS, CLASSIC_MAX_LENGTH, DLC_LENGTHS, ESI, EXTENDED, FD

_COLUMNS = {"1.0": "NOILD", "1.1": "NOTILD", "1.2": "NOBTILD", "1.3": "NOBTIRLD"}
"""Columns of the versions that do not name them in the file."""
_DATA_TYPES = {"DT": 0, "FD": FD, "FB": FD | BRS, "FE": FD | BRS | ESI, "BI": FD | ESI, "RX": 0, "TX": 0}
_ERROR_TYPES = {"ER", "ERROR"}
_OTHER_TYPES = {"ST", "EC", "EV", "WARNG", "WARNING", "STATUS", "EVENT", "ERRCNT"}
_STANDARD_DIGITS = 4
_NO_ID = "FFFFFFFF"
_REMOTE = "RTR"


class TrcParser(LineParser):
    """Parser of one .trc file."""

    name = "PEAK's .trc"
    suffix = ".trc"

    def __init__(self) -> None:
        self._columns = _COLUMNS["1.0"]

    def frame(self, number: int, text: str) -> LogFrame | None:
        line = text.strip()
        if line.startswith(";$"):
            self._header(line)
        if is_comment(line):
            return None
        words = line.split(maxsplit=len(self._columns) - 1)
        fields = dict(zip(self._columns, words, strict=False))
        if not {"N", "O"} <= fields.keys() or not fields["N"].rstrip(")").isdecimal():
            raise Unreadable(f"no event: {quoted(text)}")
        event = fields.get("T", "DT").upper()
        if event in _OTHER_TYPES or fields.get("I", "").upper() == _NO_ID:
            return None
        stamp_s = seconds(fields["O"]) / 1000
        channel = fields.get("B", "")
        if event in _ERROR_TYPES:
            return LogFrame(number, stamp_s, Kind.ERROR, channel=channel)
        if "I" not in fields or not {"l", "L"} & fields.keys():
            raise Unreadable(f"no whole event: {quoted(text)}")
        arbitration_id, flags = int(fields["I"], 16), EXTENDED if len(fields["I"]) > _STANDARD_DIGITS else 0
        contents = fields.get("D", "")
        if event == "RR" or contents.strip().upper() == _REMOTE:
            code = int(fields["l"] if "l" in fields else fields["L"])
            return LogFrame(number, stamp_s, Kind.REMOTE, arbitration_id, flags, channel=channel, code=code)
        if event not in _DATA_TYPES:
            raise Unreadable(f"events of the type {quoted(event)} are unknown")
        flags |= _DATA_TYPES[event]
        length = int(fields["l"]) if "l" in fields else _length_of(int(fields["L"]), flags)
        data = all_bytes(payload("".join(contents.split()[:length])), length)
        return LogFrame(number, stamp_s, Kind.DATA, arbitration_id, flags, data, channel)

    def _header(self, line: str) -> None:
        key, _, value = line.partition("=")
        if key == ";$FILEVERSION":
            self._columns = _COLUMNS.get(value.strip(), self._columns)
        elif key == ";$COLUMNS":
            self._columns = "".join(column.strip()[:1] for column in value.split(","))


def _length_of(code: int, flags: int) -> int:
    """Return the number of bytes; versions 1 have the length itself in this column."""
    if not flags & FD:
        return min(code, CLASSIC_MAX_LENGTH)
    if code >= len(DLC_LENGTHS):
        raise Unreadable(f"a data length code of {code}")
    return DLC_LENGTHS[code]
