"""Files that the access to a hub names, read in a thread: a file system that does not answer holds up one attempt only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.hub.failures import AccessMistake

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_WITHIN_S = 5.0
_FILES = FileThread()


async def read_file(path: str | None, read: Callable[[], T], *, within_s: float = _WITHIN_S) -> T:
    """Return the result of `read`, which reads `path`, or raise its exception. Raises AccessMistake after `within_s`."""
    reading = _FILES.submit(read)
    try:
        return await reading.answer(within_s)
    except NoAnswer as error:
        reading.withdraw()
        raise AccessMistake(f"{path}: the file system does not answer. Check its mount.") from error
