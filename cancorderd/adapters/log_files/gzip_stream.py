"""Decompression of a gzip file that may be cut or damaged: everything up to the damage. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.log_files.entries import LogEnd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
_MOST_AT_ONCE = 1 << 16
"""Bytes per decompressed piece, so that a small file cannot fill the memory."""


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the contents of all members. Raises LogEnd where the file is cut or damaged, after all that is good."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            if not begun:
                data = data.lstrip(b"\0")  # padding between members (gzip(1))
                if not data:
                    break
                member, begun = zlib.decompressobj(_GZIP), True
            before = member.copy()
            try:
                piece = member.decompress(data, _MOST_AT_ONCE)
            except zlib.error as error:
                yield from _bytewise(before, data)
                raise LogEnd("the compressed file is damaged here") from error
            yield piece
            if member.eof:
                data, begun = member.unused_data, False
            else:
                data = member.unconsumed_tail
    while begun and (piece := member.decompress(member.unconsumed_tail, _MOST_AT_ONCE)):
        yield piece
    if begun:
        raise LogEnd("the compressed file is cut here")


class Inflated(NamedTuple):
    """Contents of a zlib stream, as far as it is good."""

    contents: bytes
    whole: bool
    behind: bytes
    """Bytes behind its end."""


def inflated(data: bytes, most: int) -> Inflated:
    """Return the contents of the zlib stream at the beginning of `data`, `most` bytes of them at most."""
    stream = zlib.decompressobj()
    before = stream.copy()
    try:
        contents = stream.decompress(data, most)
    except zlib.error:
        return Inflated(b"".join(_bytewise(before, data))[:most], whole=False, behind=b"")
    return Inflated(contents, stream.eof, stream.unused_data)


def _bytewise(stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield all that can be decompressed of damaged data."""
    try:
        for position in range(len(data)):
            yield stream.decompress(data[position : position + 1], _MOST_AT_ONCE)
    except zlib.error:
        return
