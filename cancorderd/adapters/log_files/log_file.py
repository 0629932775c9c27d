"""Opening of a log file: its kind is what it begins with, and its name if that leaves it open.

A log is an iterator of frames and flaws. Opening and reading block for as long as the file system does not answer, and
therefore belong into a thread.
"""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.device_permission import user_name
from cancorderd.adapters.failures import ABSENT, FORBIDDEN, AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.log_files import blf, database, gzip_stream, python_can_log
from cancorderd.adapters.log_files.entries import Flaw, LogEnd, LogFrame
from cancorderd.adapters.log_files.text_log import parser_for, text_entries
from cancorderd.hidden_folders import remedy_if_hidden
from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO

USABLE = "Use a log that python-can reads, such as .log, .asc or .blf."
_CHUNK_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16
"""Bytes by which the kind of a file is judged."""
_SPECIAL_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_BINARY_SUFFIXES = {".blf": "no beginning of a .blf file", ".db": "no beginning of an SQLite database"}


class Log(NamedTuple):
    """An opened log."""

    entries: Iterator[LogFrame | Flaw]
    unit: str
    """Of the numbers of its frames and flaws: line, row, byte or frame."""
    remark: str = ""
    """A sentence about the file for the log of the bus."""


def open_log(path: str) -> Log:
    """Open a log. Raises AdapterAbsent, SettingsRefused or BusError with the reason."""
    try:
        _require_file(path)
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - `_chunks` closes it
    except OSError as error:
        raise _failure(path, error) from error
    try:
        return _opened(path, file)
    except BaseException:
        file.close()
        raise


def place(path: str, unit: str, number: int) -> str:
    """Return a place in a log, for the beginning of a sentence."""
    return f"{path}:{number}" if unit == "line" else f"{path}: {unit} {number}"


def _opened(path: str, file: FileIO) -> Log:
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    head, chunks = _with_head(_chunks(file))
    compressed = head.startswith(gzip_stream.MAGIC)
    if compressed:
        head, chunks = _with_head(gzip_stream.decompressed(chunks))
    if head.startswith(blf.MAGIC):
        return Log(blf.blf_entries(chunks), "byte")
    if head.startswith(database.MAGIC):
        if compressed:
            raise SettingsRefused(f"{path} is a compressed database. Decompress it: gunzip -k {path}")
        file.close()
        return Log(database.database_entries(path), "row")
    parser, found = parser_for(suffix, head)
    if parser and found:
        fitting = parser.suffix == suffix
        remark = "" if fitting else f"{path} is {parser.name}, whatever its name says."
        return Log(text_entries(parser, chunks), "line", remark)
    if suffix == ".mf4" or head.startswith(python_can_log.MF4_MAGICS) or python_can_log.has_plug_in(suffix):
        python_can_log.require_reader(path, suffix)
        file.close()
        return Log(python_can_log.python_can_entries(path) if head else iter(()), "frame")
    if parser:
        return Log(text_entries(parser, chunks), "line")
    file.close()
    if suffix not in _BINARY_SUFFIXES:
        raise SettingsRefused(f"{path} is no log, neither by its name nor by its beginning. {USABLE}")
    return Log(iter([Flaw(0, _BINARY_SUFFIXES[suffix])] if head else []), "byte")


def _require_file(path: str) -> None:
    """Raise SettingsRefused unless there is a file: whatever else may block for ever, or never end."""
    mode = os.stat(path).st_mode
    for is_such, name in _SPECIAL_FILES:
        if is_such(mode):
            raise SettingsRefused(f"{path} is {name}. Name a file with a log in file.")


def _failure(path: str, error: OSError) -> AdapterAbsent | BusError:
    absent = error.errno in ABSENT or isinstance(error, NotADirectoryError)
    if (absent or error.errno in FORBIDDEN) and (remedy := remedy_if_hidden(path)):
        return AdapterAbsent(f"{path} does not exist for this process. {remedy}")
    if absent:
        return AdapterAbsent(f"{path} does not exist. Put the log there, or correct file.")
    if error.errno in FORBIDDEN:
        return AdapterAbsent(
            f"no permission for {path} as user {user_name(os.geteuid())}. Let this user read the file and enter its "
            f"folders; this command shows their permissions: namei -l {path}"
        )
    return BusError(
        f"{path}: {printable(error.strerror or str(error))}. Look at the file and its file system."
    )


def _chunks(file: FileIO) -> Iterator[bytes]:
    """Yield the contents. Raises LogEnd where they cannot be read."""
    with file:
        try:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
        except OSError as error:
            raise LogEnd(
                f"the file cannot be read here ({printable(error.strerror or str(error))})"
            ) from error


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and all chunks with them. A LogEnd comes where it belongs: behind its good part."""
    head = b""
    try:
        while len(head) < _HEAD_BYTES and (chunk := next(chunks, None)) is not None:
            head += chunk
    except LogEnd as error:
        return head, itertools.chain([head], _ended(error))
    return head, itertools.chain([head], chunks)


def _ended(error: LogEnd) -> Iterable[bytes]:
    raise error
    yield b""
