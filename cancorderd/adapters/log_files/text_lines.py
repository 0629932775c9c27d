"""Lines of a text file in any encoding and with any line ends. Pure: chunks of bytes in, lines out."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_LINE = 1 << 16
"""Bytes; a CAN FD frame with all remarks of Vector's tools needs 400. The rest of a longer line is not kept."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Line(NamedTuple):
    """A line without its end."""

    number: int
    text: str
    complete: bool
    """False for the last line of a file if nothing ends it."""
    too_long: bool = False


def lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines; CR, LF and CR LF end a line. Exceptions of `chunks` pass, after all complete lines."""
    number, rest, skipping = 0, b"", False
    for chunk in _utf_8(chunks):
        data = rest + chunk
        held = data[-1:] if data.endswith(b"\r") else b""  # a line feed may follow in the next chunk
        data = data[: len(data) - len(held)]
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in ended:
            number += 1
            yield _line(number, line, complete=True, too_long=skipping)
            skipping = False
        rest = _with_few_zeros(rest)
        if len(rest) > LONGEST_LINE:
            skipping, rest = True, b""
        rest += held
    if rest or skipping:
        yield _line(number + 1, rest.removesuffix(b"\r"), complete=rest.endswith(b"\r"), too_long=skipping)


def _with_few_zeros(line: bytes) -> bytes:
    """Return a line with a single NUL byte for each block of them that a power failure leaves around it."""
    if len(line) <= LONGEST_LINE:
        return line
    text = line.strip(b"\0")
    behind = b"\0" if line.endswith(b"\0") else b""
    return (b"\0" if line.startswith(b"\0") else b"") + text + (behind if text else b"")


def _line(number: int, line: bytes, *, complete: bool, too_long: bool) -> Line:
    line = _with_few_zeros(line)
    if too_long or len(line) > LONGEST_LINE:
        return Line(number, "", complete, too_long=True)
    try:
        return Line(number, line.decode(), complete)
    except UnicodeDecodeError:
        return Line(number, line.decode("latin-1"), complete)


def _utf_8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks without a byte order mark; UTF-16, which Windows writes, becomes UTF-8."""
    decoder = None
    first = True
    for chunk in chunks:
        data = chunk
        if first and data:
            first = False
            if data.startswith(_UTF_16):
                decoder = codecs.getincrementaldecoder("utf-16")("replace")
            data = data.removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(data).encode() if decoder else data
