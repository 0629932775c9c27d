"""What the parsers of text logs share: their contract, and the fields that several formats have. Pure."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from cancorderd.adapters.log_files.entries import Unreadable, quoted

if TYPE_CHECKING:
    from cancorderd.adapters.log_files.entries import LogFrame

_COMMENT = re.compile(r"\s*(#|;|//|$)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")


class LineParser(ABC):
    """Parser of one file, which may remember the header."""

    name: ClassVar[str]
    """Of the format, for sentences."""
    suffix: ClassVar[str]
    """Of the names of its files."""

    @abstractmethod
    def frame(self, number: int, text: str) -> LogFrame | None:
        """Return the frame of line `number`, or None if it is meant to hold none.

        Raises Unreadable with the fact, or an exception of Python's functions for text.
        """

    def is_cut(self, frame: LogFrame, text: str) -> bool:  # noqa: ARG002 - most formats show it in the line itself
        """Return whether the last line of a file, which nothing ends, is only the beginning of this frame's."""
        return False


def is_comment(text: str) -> bool:
    """Return whether a line is empty or a comment."""
    return _COMMENT.match(text) is not None


def seconds(text: str) -> float:
    """Return a time stamp in seconds, written as a number or as a date. Raises Unreadable."""
    try:
        stamp_s = float(text)
    except ValueError:
        if not _DATE.fullmatch(text):
            raise Unreadable(f"{quoted(text)} is no time") from None
        try:
            stamp_s = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise Unreadable(f"{quoted(text)} is no time") from None
    if not math.isfinite(stamp_s):
        raise Unreadable(f"{quoted(text)} is no time")
    return stamp_s


def payload(text: str) -> bytes:
    """Return bytes written in hexadecimal, with or without blanks. Raises Unreadable."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Unreadable(f"{quoted(text)} are no bytes in hexadecimal") from None


def all_bytes(data: bytes, length: int) -> bytes:
    """Return the first `length` bytes. Raises Unreadable if there are fewer."""
    if len(data) < length:
        raise Unreadable(f"{len(data)} of {length} bytes")
    return data[:length]
