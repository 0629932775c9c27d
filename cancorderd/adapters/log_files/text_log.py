"""Frames and flaws of a text log: the format that its first lines have, and every line by itself. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.adapters.log_files.asc import AscParser
from cancorderd.adapters.log_files.candump import CandumpParser
from cancorderd.adapters.log_files.csv_rows import CsvParser
from cancorderd.adapters.log_files.entries import Flaw, LogEnd, LogFrame, Unreadable, quoted
from cancorderd.adapters.log_files.text_lines import LONGEST_LINE, Line, lines
from cancorderd.adapters.log_files.trc import TrcParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cancorderd.adapters.log_files.line_parser import LineParser

_PARSERS: tuple[type[LineParser], ...] = (CandumpParser, AscParser, CsvParser, TrcParser)
_FLAWED = (ValueError, IndexError, OverflowError)
"""Raised by Python's own functions for the text of a line."""


def parser_for(suffix: str, head: bytes) -> tuple[LineParser | None, bool]:
    """Return a parser, and whether it finds a frame in the first bytes of the file.

    The format is that of the suffix, unless only another one finds frames.
    """
    ordered = sorted(_PARSERS, key=lambda parser: parser.suffix != suffix)
    for parser in ordered:
        if any(isinstance(entry, LogFrame) for entry in text_entries(parser(), [head])):
            return parser(), True
    return (ordered[0](), False) if ordered[0].suffix == suffix else (None, False)


def text_entries(parser: LineParser, chunks: Iterable[bytes]) -> Iterator[LogFrame | Flaw]:
    """Yield what the lines hold. A LogEnd of `chunks` becomes the last flaw."""
    number = 0
    try:
        for line in lines(chunks):
            number = line.number
            text = line.text
            if line.too_long:
                yield Flaw(number, f"a line of more than {LONGEST_LINE} bytes")
                continue
            if "\0" in text:
                yield Flaw(number, "NUL bytes, as a power failure leaves them")
                text = text.strip("\0")
            if (entry := _entry(parser, line, text)) is not None:
                yield entry
    except LogEnd as error:
        yield Flaw(number + 1, str(error))


def _entry(parser: LineParser, line: Line, text: str) -> LogFrame | Flaw | None:
    try:
        frame = parser.frame(line.number, text)
    except Unreadable as error:
        fact = str(error)
    except _FLAWED:
        fact = f"no frame of {parser.name}: {quoted(text)}"
    else:
        if frame is None or line.complete or not parser.is_cut(frame, text):
            return frame
        fact = ""
    return Flaw(line.number, fact if line.complete else f"the last line is cut: {quoted(text)}")
