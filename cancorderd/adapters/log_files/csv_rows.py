"""Rows of python-can's .csv. Pure. The format has no flag for CAN FD: more than 8 bytes are CAN FD."""

from __future__ import annotations

import binascii

from cancorderd.adapters.log_files.entries import Kind, LogFrame, Unreadable, quoted
from cancorderd.adapters.log_files.line_parser import LineParser, is_comment, seconds
from cancorderd.adapters.log_files.rows import row_frame

COLUMNS = "timestamp,arbitration_id,extended,remote,error,dlc,data"


class CsvParser(LineParser):
    """Parser of one .csv file."""

    name = "python-can's .csv"
    suffix = ".csv"

    def __init__(self) -> None:
        self._first = True

    def frame(self, number: int, text: str) -> LogFrame | None:
        if is_comment(text):
            return None
        first, self._first = self._first, False
        fields = [field.strip().strip('"') for field in text.split(",")]
        if first and fields[0].lower() == "timestamp":
            if len(fields) != COLUMNS.count(",") + 1:
                raise Unreadable(f"columns other than {COLUMNS}: {quoted(text)}")
            return None
        if len(fields) != COLUMNS.count(",") + 1:
            raise Unreadable(f"{len(fields)} columns, not {COLUMNS}: {quoted(text)}")
        stamp, can_id, extended, remote, error, length, data = fields
        try:
            contents = binascii.a2b_base64(data, strict_mode=bool(data))
        except binascii.Error:
            raise Unreadable(f"{quoted(data)} is not base64") from None
        kind = Kind.ERROR if error == "1" else Kind.REMOTE if remote == "1" else Kind.DATA
        return row_frame(
            number,
            seconds(stamp),
            kind,
            int(can_id, 16),
            extended=extended == "1",
            length=int(length),
            data=contents,
        )
