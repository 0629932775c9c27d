"""Standard output and error of a process that must not wait for whoever reads them.

Drivers print whenever they like. A full pipe or a stopped terminal costs the lines that do not fit, never the bus.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, cast

from cancorderd.printable import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
"""File descriptors."""
_LONGEST = 1 << 14
"""Characters of a line that has not ended yet; a longer one is cut there."""


def non_waiting(descriptor: int) -> int:
    """Return a descriptor of the same file that never waits for a reader; `descriptor` itself if there can be none."""
    try:
        # Opened anew: the flag of a copy would be that of every process that shares the file.
        return os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return descriptor


def print_without_waiting() -> None:
    """Let nothing that is printed in this process wait, by Python or not; Python's lines are made printable."""
    for descriptor in (STANDARD_OUTPUT, STANDARD_ERROR):
        with contextlib.suppress(OSError):  # it is closed
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.set_blocking(descriptor, False)  # the journal's: a connection of this service alone
            elif (anew := non_waiting(descriptor)) != descriptor:
                os.dup2(anew, descriptor)
                os.close(anew)
    for descriptor, name in ((STANDARD_OUTPUT, "stdout"), (STANDARD_ERROR, "stderr")):
        encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
        output = cast("io.BufferedWriter", LineOutput(descriptor, encoding))  # which wants no buffer
        lines = io.TextIOWrapper(output, "utf-8", "replace", line_buffering=True, write_through=True)
        setattr(sys, name, lines)


class LineOutput(io.RawIOBase):
    """Writes whole lines, printable, to a descriptor that may refuse them; missing lines are counted there."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding
        self._begun = ""
        self._dropped = 0

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        written = bytes(data)
        *lines, self._begun = (self._begun + written.decode("utf-8", "replace")).split("\n")
        if len(self._begun) > _LONGEST:
            lines.append(self._begun)
            self._begun = ""
        for line in lines:
            self._write_line(printable(line))
        return len(written)

    def _write_line(self, line: str) -> None:
        try:
            if self._dropped:
                self._send(
                    f"({self._dropped} lines are missing here: the reader of this output was too slow)"
                )
                self._dropped = 0
            self._send(line)
        except OSError:
            self._dropped += 1

    def _send(self, line: str) -> None:
        # One call for each line, which a pipe takes whole or not at all (PIPE_BUF, pipe(7)).
        os.write(self._descriptor, f"{line}\n".encode(self._encoding, "replace"))
