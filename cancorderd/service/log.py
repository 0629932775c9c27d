"""Where the log goes: structured records to the journal under systemd, else plain lines on standard error.

What one bus says over and over is summed up first, by `repeats`. A record's attribute `bus` names its bus,
`state` the bus's state.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from cancorderd.service.repeats import Repeats, Summary, cause
from cancorderd.service.systemd import REMEDY


class PlainFormatter(logging.Formatter):
    """Time, level, bus where there is one, message; one line each."""

    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{self.formatTime(record)} {record.levelname.lower():7} {_place(record)}{super().format(record)}"
        )


class JournalFormatter(logging.Formatter):
    """Bus where there is one, and message: the journal has the rest in fields."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_place(record)}{super().format(record)}"


class SummedUp(logging.Handler):
    """Passes records on to the `outputs`; those of a bus that repeat themselves as sums."""

    def __init__(self, *outputs: logging.Handler) -> None:
        super().__init__()
        self._outputs = list(outputs)
        self._repeats: Repeats[logging.LogRecord] = Repeats()

    def add(self, output: logging.Handler) -> None:
        self._outputs.append(output)

    def emit(self, record: logging.LogRecord) -> None:
        bus = getattr(record, "bus", None)
        if bus and record.levelno >= logging.INFO:
            kind = (bus, record.levelno, cause(record.getMessage()))
            if not self._repeats.take(kind, record, time.monotonic()):
                return
        self._pass_on(record)

    def tick(self, now_s: float) -> None:
        """Called about once a second, with the monotonic time."""
        self.acquire()
        try:
            for summary in self._repeats.due(now_s):
                self._pass_on(_record(summary))
        finally:
            self.release()

    def close(self) -> None:
        """Tell what is held, and close."""
        for summary in self._repeats.rest(time.monotonic()):
            self._pass_on(_record(summary))
        super().close()

    def _pass_on(self, record: logging.LogRecord) -> None:
        for output in self._outputs:
            output.handle(record)


def set_up(level: str) -> SummedUp:
    """Log to the place that suits; returns the handler that everything goes through."""
    problem = None
    output: logging.Handler
    stream = os.environ.get("JOURNAL_STREAM", "")
    if stream and is_stream(stream, os.fstat(sys.stderr.fileno())):
        output, problem = _journal()
    else:
        output = _plain()
    summed_up = SummedUp(output)
    root = logging.getLogger()
    root.addHandler(summed_up)
    root.setLevel(logging.WARNING)
    log = logging.getLogger("cancorderd")
    log.setLevel(level.upper())
    if problem:
        log.warning("%s", problem)
    return summed_up


def is_stream(text: str, status: os.stat_result) -> bool:
    """Whether JOURNAL_STREAM speaks of this file (systemd.exec(5)), and not of a parent's standard error."""
    return text == f"{status.st_dev}:{status.st_ino}"


def journal_fields(record: logging.LogRecord) -> dict[str, str]:
    """The fields of our own that a record has in the journal."""
    fields = {
        "CANCORDER_BUS": getattr(record, "bus", None),
        "CANCORDER_STATE": getattr(record, "state", None),
    }
    return {name: str(value) for name, value in fields.items() if value is not None}


def _journal() -> tuple[logging.Handler, str | None]:
    try:
        from systemd.journal import JournalHandler  # noqa: PLC0415 - optional, and of use only here
    except ImportError:
        return _plain(), f"the journal gets plain lines, without the bus as a field. {REMEDY}"
    output: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER="cancorderd")
    output.setFormatter(JournalFormatter())
    output.addFilter(_with_fields)  # JournalHandler sends a record's attributes as fields
    return output, None


def _with_fields(record: logging.LogRecord) -> bool:
    record.__dict__.update(journal_fields(record))
    return True


def _plain() -> logging.Handler:
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(PlainFormatter())
    return output


def _place(record: logging.LogRecord) -> str:
    bus = getattr(record, "bus", None)
    return f"{bus}: " if bus else ""


def _record(summary: Summary[logging.LogRecord]) -> logging.LogRecord:
    """The last of its kind, told now, with the count."""
    record = logging.makeLogRecord(summary.last.__dict__)
    record.msg, record.args = f"{record.getMessage()}{summary.words()}", None
    record.created = time.time()
    return record
