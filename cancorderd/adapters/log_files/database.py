"""Rows of python-can's SQLite database (.db), read from the file as it is: nothing is created or changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import AdapterAbsent, SettingsRefused
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame, Unreadable
from cancorderd.adapters.log_files.line_parser import seconds
from cancorderd.adapters.log_files.rows import row_frame
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

MAGIC = b"SQLite format 3\0"
_ROWS = "SELECT rowid, ts, arbitration_id, extended, remote, error, dlc, data FROM messages WHERE rowid > ? ORDER BY rowid"
_DAMAGE = (sqlite3.Error, UnicodeDecodeError)
"""The latter for a damaged name in sqlite's own message."""
_HIGHEST_ROW = 1 << 40
_MOST_PLACES = 100
"""Damaged places behind which reading goes on."""
_BUSY_S = 1.0
"""How long a writer may have the database locked before the bus waits."""


def database_entries(path: str) -> Iterator[LogFrame | Flaw]:
    """Yield the rows of the table "messages". Raises SettingsRefused or AdapterAbsent if there is none to read."""
    try:
        yield from _rows(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise AdapterAbsent(f"{path} is locked by another program. End that program.") from error
        if "no such" in str(error):
            fact = f"{path}: {error_text(error)}: this is no log of python-can"
            raise SettingsRefused(f"{fact}. Use a log that python-can has written.") from error
        # A journal that a power failure left needs a directory that can be written: do without it.
        yield from _rows_as_they_are(path)


def _rows_as_they_are(path: str) -> Iterator[LogFrame | Flaw]:
    try:
        yield from _rows(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise SettingsRefused(f"{path}: {error_text(error)}. Use a database that sqlite3 opens.") from error


def _rows(path: str, mode: str) -> Iterator[LogFrame | Flaw]:
    connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?{mode}", uri=True, timeout=_BUSY_S)
    try:
        connection.text_factory = bytes
        connection.execute("PRAGMA writable_schema = ON")  # else SQLite reads nothing of a file that was cut
        last = yield from _readable_rows(connection)
        if _is_cut(path):
            yield Flaw(last, "the file is cut, and its last rows may be wrong")
    finally:
        connection.close()


def _readable_rows(connection: sqlite3.Connection) -> Generator[LogFrame | Flaw, None, int]:
    """Yield every row that can be read; behind a damaged page reading goes on. Returns the number of the last one."""
    number = following = 0
    for _ in range(_MOST_PLACES):
        first = number
        try:
            for row in connection.execute(_ROWS, (number,)):
                if row[0] <= number:
                    raise sqlite3.DatabaseError("rows in disorder")  # of a page that was overwritten or cut
                number = row[0]
                try:
                    yield _frame(row)
                except (Unreadable, ValueError, TypeError) as error:
                    yield Flaw(number, f"no frame: {error_text(error)}")
        except _DAMAGE as error:
            if not number and isinstance(error, sqlite3.OperationalError):
                raise
            fruitless = (
                following and number == first
            )  # the row that could be read alone cannot be read among others
            following = 0 if fruitless else _readable_from(connection, number + 1)
            yield Flaw(
                number + 1, f"damaged from here{' to the end' * (not following)} ({error_text(error)})"
            )
            if following:
                number = following - 1
                continue
        break
    return number


def _readable_from(connection: sqlite3.Connection, number: int) -> int:
    """Return the first row behind a damaged page, or 0 if nothing behind it can be read."""
    step = 1
    while not _is_readable(connection, number + step):
        step *= 2
        if step > _HIGHEST_ROW:
            return 0
    damaged, readable = number + step // 2, number + step
    while readable - damaged > 1:
        middle = (damaged + readable) // 2
        if _is_readable(connection, middle):
            readable = middle
        else:
            damaged = middle
    return readable


def _is_readable(connection: sqlite3.Connection, number: int) -> bool:
    try:
        row = connection.execute(f"{_ROWS} LIMIT 1", (number - 1,)).fetchone()
    except _DAMAGE:
        return False
    return row is None or row[0] >= number


def _is_cut(path: str) -> bool:
    """Return whether the file does not end with a page, as a copy that was interrupted."""
    with open(path, "rb") as file:
        page_bytes = int.from_bytes(file.read(18)[16:], "big")
    return page_bytes > 1 and os.path.getsize(path) % page_bytes != 0


def _frame(row: tuple[object, ...]) -> LogFrame:
    """Return the frame of a row, whose fields may have any type."""
    number, stamp, can_id, extended, remote, error, length, data = row
    if not isinstance(number, int) or not isinstance(can_id, int) or not isinstance(length, int):
        raise Unreadable("id or length is no number")
    contents = data if isinstance(data, bytes) else b""
    kind = Kind.ERROR if error else Kind.REMOTE if remote else Kind.DATA
    return row_frame(
        number, seconds(str(stamp)), kind, can_id, extended=bool(extended), length=length, data=contents
    )
