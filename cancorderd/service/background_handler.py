"""Log records for an output that may stand still: a thread writes them, and whoever logs never waits.

A full pipe, a stopped terminal, a disk or a journal that hangs delays this thread alone. Beyond `_MAX_WAITING`,
new records are dropped and counted, and a record in their place reports the count.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

_MAX_WAITING = 1000
"""Records that wait for the output: some minutes of a busy log, and at most a few megabytes."""
_PATIENCE_S = 1.0
"""Time at the end after which an output that accepts nothing is given up."""


class DescriptorHandler(logging.Handler):
    """Writes records as lines to a file descriptor, unbuffered. Waits as long as the descriptor accepts nothing."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Raises OSError if the descriptor has no reader any more, or its disk is full."""
        data = f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program that shares the descriptor has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()


class BackgroundHandler(logging.Handler):
    """Passes records to `output` in a thread of its own. Every method but `close` returns at once."""

    def __init__(self, output: logging.Handler) -> None:
        super().__init__()
        self._output = output
        self._waiting: deque[logging.LogRecord] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        """Records dropped or lost since the last record that reports them."""
        self._written = 0
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self._report_dropped()
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(record)
            else:
                self._dropped += 1
            self._changed.notify()

    def tick(self) -> None:
        """Report dropped records if there is room. Called about once a second."""
        with self._changed:
            self._report_dropped()
            self._changed.notify()

    def close(self) -> None:
        """Write the waiting records; an output that accepts nothing is given up after `_PATIENCE_S`."""
        with self._changed:
            ended, self._ending = self._ending, True
            self._report_dropped()
            self._changed.notify()
        written = -1
        while not ended and self._thread.is_alive() and self._written != written:
            written = self._written
            self._thread.join(_PATIENCE_S)
        super().close()

    def _report_dropped(self) -> None:
        if self._dropped and len(self._waiting) < _MAX_WAITING:
            self._waiting.append(_missing_record(self._dropped))
            self._dropped = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                record = self._waiting.popleft()
            try:
                # Not `handle`: its lock would be held for as long as the output stands still. Filters add fields.
                if self._output.filter(record):
                    self._output.emit(record)
            except Exception:  # noqa: BLE001 - handlers of libraries raise many kinds, and the log goes on
                with self._changed:
                    self._dropped += getattr(record, "missing", 1)
            self._written += 1


def _missing_record(count: int) -> logging.LogRecord:
    """Return the record that stands for `count` dropped ones."""
    noun = "message is" if count == 1 else "messages are"
    return logging.makeLogRecord(
        {
            "name": "cancorderd",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": f"{count} {noun} missing here: the reader of this log was too slow",
            "created": time.time(),
            "missing": count,
        }
    )
