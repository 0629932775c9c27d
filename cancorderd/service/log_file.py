"""Log file that another program rotates, such as newsyslog of macOS: it renames the file, and here a new one is opened."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cancorderd.service.background_handler import DescriptorHandler
from cancorderd.standard_error import STANDARD_ERROR, STANDARD_OUTPUT

if TYPE_CHECKING:
    import logging

VARIABLE = "CANCORDER_LOG"
"""Environment variable with the path of the file that standard output and error were opened with."""
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o640


def is_log_file(path: str, descriptor: int) -> bool:
    """Return whether `path` names the file of `descriptor`; False if there is no such file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


class LogFileHandler(DescriptorHandler):
    """Writes to standard error. If its file was renamed or removed, the next record begins a new one at `path`.

    Processes that were started before keep the old file: what a driver prints in a worker stays there.
    """

    def __init__(self, path: str, encoding: str) -> None:
        super().__init__(STANDARD_ERROR, encoding)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        if not is_log_file(self._path, STANDARD_ERROR):
            with contextlib.suppress(OSError):  # no right, no room: the old file gets the record
                self._open_anew()
        super().emit(record)

    def _open_anew(self) -> None:
        anew = os.open(self._path, _FLAGS, _MODE)
        for descriptor in (STANDARD_ERROR, STANDARD_OUTPUT):
            os.dup2(anew, descriptor)
        os.close(anew)
