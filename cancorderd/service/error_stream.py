"""Standard error of a process that logs: lines that libraries print become log records, so that no print waits."""

from __future__ import annotations

import io
import logging
import sys

log = logging.getLogger("cancorderd")

_LONGEST = 1 << 14
"""Characters of a line that has not ended yet; a longer one is cut there."""


class ErrorStream(io.TextIOBase):
    """Text stream that logs each line as a warning."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if len(self._begun) > _LONGEST:
            lines.append(self._begun)
            self._begun = ""
        for line in filter(str.strip, lines):
            log.warning("%s", line)
        return len(text)


def log_standard_error() -> None:
    """Log all further text for standard error. Text that bypasses Python's `sys.stderr` is not affected."""
    sys.stderr = ErrorStream()
