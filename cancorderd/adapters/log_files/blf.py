"""Vector's .blf: objects in compressed containers. Pure: chunks of bytes in, frames and flaws out.

Layouts as in python-can's reader, which ends at the first damaged byte. Here reading goes on at the next object, and
every step moves forward in the file, whatever sizes it claims.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.log_files.entries import Flaw, Kind, LogEnd, LogFrame, Unreadable
from cancorderd.adapters.log_files.gzip_stream import inflated
from cancorderd.protocol.frame import BRS, CLASSIC_MAX_LENGTH, ESI, EXTENDED, FD, FD_MAX_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"LOGG"
_OBJECT = b"LOBJ"
_FILE_HEADER = Struct("<4sL")
_BASE = Struct("<4sHHLL")
"""Signature, size of the header, its version, size of the object, its type."""
_HEADERS = {1: Struct("<LHHQ"), 2: Struct("<LBxHQ8x")}
"""By version: flags, two numbers, time stamp."""
_CONTAINER = Struct("<H6xL4x")
_CLASSIC = Struct("<HBBL8s")
_FD_OLD = Struct("<HBBLLBBB5x64s")
_FD_64 = Struct("<BBBBLLLLLLLHBBL")
_TYPE_CLASSIC = frozenset({1, 86})
_TYPE_ERROR = frozenset({2, 73})
_TYPE_CONTAINER, _TYPE_FD, _TYPE_FD_64 = 10, 100, 101
_FRAME_TYPES = _TYPE_CLASSIC | _TYPE_ERROR | {_TYPE_FD, _TYPE_FD_64}
_LARGEST_FRAME = 512
"""Bytes of an object that is a frame; the largest has 40 + 40 + 64, and some more of extended data."""
_LARGEST_OBJECT = 1 << 24
"""Bytes; containers have 128 KiB and other objects less. What claims more is damaged."""
_STORED, _DEFLATED = 0, 2
_LONGEST_PADDING = 3
_LARGEST_HEADER = 4096
_TEN_MICROSECONDS = 1
_ID_MASK, _ID_EXTENDED = 0x1FFF_FFFF, 0x8000_0000
_REMOTE = 0x80


class _Object(NamedTuple):
    """Bytes of an object, and its place in the file."""

    place: int
    kind: int
    version: int
    data: bytes
    whole: bool


class _Fields(NamedTuple):
    """Fields that the objects of frames have in different places."""

    channel: int
    can_id: int
    remote: bool
    fd_bits: int
    """1: CAN FD, 2: bit rate switch, 4: error state indicator."""
    data: bytes
    code: int
    """Data length code."""


class _ObjectStream:
    """Finds objects in bytes that arrive in pieces; counts what lies between them as flaws."""

    def __init__(self) -> None:
        self._rest = b""
        self._lost = False
        """Whether bytes were skipped since the last object."""

    def objects(self, place: int, data: bytes, *, last: bool = False) -> Iterator[_Object | Flaw]:
        """Yield the objects that are whole by now; at the last call those that are cut, too."""
        data, position = self._rest + data, 0
        while True:
            found = data.find(_OBJECT, position)
            if found < 0:
                keep = 0 if last else len(_OBJECT) - 1
                yield from self._skip(place, data[position : len(data) - keep])
                self._rest = data[max(position, len(data) - keep) :]
                return
            yield from self._skip(place, data[position:found])
            if len(data) - found < _BASE.size and not last:
                self._rest = data[found:]
                return
            size = self._size(data, found)
            if size is None:
                yield from self._skip(place, data[found : found + len(_OBJECT)], damaged=True)
                position = found + len(_OBJECT)
                continue
            if len(data) - found < size and not last:
                self._rest = data[found:]
                return
            self._lost = False
            _, _, version, _, kind = _BASE.unpack_from(data, found)
            contents = data[found + _BASE.size : found + size]
            whole = len(data) - found >= size
            yield _Object(place, kind, version, contents, whole)
            self._lost = not whole
            # What claims to reach beyond the end may have a damaged size: good objects may follow in it.
            position = found + (size if whole or _is_stored(kind, contents) else len(_OBJECT))
            position = min(position, len(data))

    def forget(self) -> None:
        """Discard the beginning of an object, the rest of which is lost."""
        self._rest = b""

    def _skip(self, place: int, data: bytes, *, damaged: bool = False) -> Iterator[Flaw]:
        """Yield a flaw for bytes that are no padding, one for each stretch of them."""
        if (damaged or (len(data) > _LONGEST_PADDING and data.strip(b"\0"))) and not self._lost:
            self._lost = True
            yield Flaw(place, "a damaged object" if damaged else "bytes that belong to no object")

    @staticmethod
    def _size(data: bytes, found: int) -> int | None:
        """Return the size that an object claims, or None if it cannot be."""
        if len(data) - found < _BASE.size:
            return None
        _, _, _, size, kind = _BASE.unpack_from(data, found)
        most = _LARGEST_FRAME if kind in _FRAME_TYPES else _LARGEST_OBJECT
        return size if _BASE.size <= size <= most else None


def _is_stored(kind: int, contents: bytes) -> bool:
    """Return whether an object is a container that is not compressed, whose objects are read from it."""
    return kind == _TYPE_CONTAINER and contents.startswith(_STORED.to_bytes(2, "little"))


def blf_entries(chunks: Iterable[bytes]) -> Iterator[LogFrame | Flaw]:
    """Yield what the file holds; numbers are bytes from its beginning. Exceptions of `chunks` pass."""
    file, contents = _ObjectStream(), _ObjectStream()
    place, begun, end = 0, False, None
    beginning = b""
    try:
        for chunk in chunks:
            piece = chunk
            if not begun:
                beginning += chunk
                header = _header_size(beginning)
                if len(beginning) < header:
                    continue
                begun, piece, place = True, beginning[header:], header
            for item in file.objects(place, piece):
                yield from _unpacked(item, contents)
            place += len(piece)
    except LogEnd as error:
        end = error
    if not begun:
        yield Flaw(len(beginning), "the file is cut here")
    for item in file.objects(place, b"", last=True):
        yield from _unpacked(item, contents)
    for item in contents.objects(place, b"", last=True):
        yield from _unpacked(item, contents)
    if end is not None:
        yield Flaw(place, str(end))


def _header_size(beginning: bytes) -> int:
    """Return the size of the file's header, which may be more than there is of it. Raises LogEnd."""
    if not MAGIC.startswith(beginning[: len(MAGIC)]):
        raise LogEnd("no beginning of a .blf file")
    if len(beginning) < _FILE_HEADER.size:
        return _FILE_HEADER.size
    _, size = _FILE_HEADER.unpack_from(beginning)
    return size if _FILE_HEADER.size <= size <= _LARGEST_HEADER else _FILE_HEADER.size


def _unpacked(item: _Object | Flaw, contents: _ObjectStream) -> Iterator[LogFrame | Flaw]:
    """Yield the frame of an object, or those of a container; objects may continue in the next container."""
    if isinstance(item, Flaw):
        yield item
    elif item.kind == _TYPE_CONTAINER:
        yield from _container_entries(item, contents)
    elif not item.whole:
        yield Flaw(item.place, "the file is cut here")
    else:
        try:
            if (frame := _frame(item)) is not None:
                yield frame
        except (Unreadable, struct.error) as error:
            fact = str(error) if isinstance(error, Unreadable) else "an object that is too short"
            yield Flaw(item.place, fact)


def _container_entries(container: _Object, contents: _ObjectStream) -> Iterator[LogFrame | Flaw]:
    try:
        method, _ = _CONTAINER.unpack_from(container.data)
    except struct.error:
        yield Flaw(container.place, "the file is cut here")
        return
    data, whole, behind = container.data[_CONTAINER.size :], True, b""
    if method == _DEFLATED:
        data, whole, behind = inflated(data, _LARGEST_OBJECT)
    elif method != _STORED:
        yield Flaw(container.place, f"a container that is compressed in an unknown way ({method})")
        return
    for item in contents.objects(container.place, data):
        if isinstance(item, _Object) and item.kind == _TYPE_CONTAINER:
            yield Flaw(container.place, "a container within a container")
        else:
            yield from _unpacked(item, contents)
    if not (whole and container.whole):
        contents.forget()
        yield Flaw(container.place, "a damaged container" if container.whole else "the file is cut here")
    elif _OBJECT in behind:  # the container claims a size that reaches over others
        yield Flaw(container.place, "a damaged container")
        for item in _ObjectStream().objects(container.place, behind, last=True):
            yield from _unpacked(item, contents)


def _frame(item: _Object) -> LogFrame | None:
    if item.kind not in _FRAME_TYPES:
        return None
    header = _HEADERS.get(item.version)
    if header is None:
        raise Unreadable(f"an object with a header of the unknown version {item.version}")
    unit, _, _, stamp = header.unpack_from(item.data)
    stamp_s = stamp * (1e-5 if unit == _TEN_MICROSECONDS else 1e-9)
    if item.kind in _TYPE_ERROR:
        return LogFrame(item.place, stamp_s, Kind.ERROR)
    if item.kind == _TYPE_FD_64:
        fields = _fd_64_fields(item.data, header.size)
    elif item.kind == _TYPE_FD:
        channel, flags, code, can_id, _, _, bits, length, data = _FD_OLD.unpack_from(item.data, header.size)
        fields = _Fields(channel, can_id, bool(flags & _REMOTE), bits, data[:length], code)
    else:
        channel, flags, code, can_id, data = _CLASSIC.unpack_from(item.data, header.size)
        fields = _Fields(
            channel, can_id, bool(flags & _REMOTE), 0, data[: min(code, CLASSIC_MAX_LENGTH)], code
        )
    frame = LogFrame(item.place, stamp_s, Kind.REMOTE, fields.can_id & _ID_MASK, channel=str(fields.channel))
    flags = EXTENDED if fields.can_id & _ID_EXTENDED else 0
    if fields.remote:
        return frame._replace(flags=flags, code=fields.code)
    if fields.fd_bits & 1:
        flags |= FD | (BRS if fields.fd_bits & 2 else 0) | (ESI if fields.fd_bits & 4 else 0)
    return frame._replace(kind=Kind.DATA, flags=flags, data=fields.data)


def _fd_64_fields(contents: bytes, header_size: int) -> _Fields:
    """Return the fields of a CAN_FD_MESSAGE_64, which may claim more bytes than it has: these are 0."""
    channel, code, length, _, can_id, _, bits, *_, extended_data, _ = _FD_64.unpack_from(
        contents, header_size
    )
    begin = header_size + _FD_64.size
    end = extended_data - _BASE.size if extended_data else len(contents)
    data = contents[begin : min(begin + length, end)].ljust(min(length, FD_MAX_LENGTH), b"\0")
    return _Fields(channel, can_id, bool(bits & 0x10), bits >> 12, data, code)
