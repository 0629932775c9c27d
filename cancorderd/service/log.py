"""The log: structured records to the journal under systemd, otherwise plain lines on standard error.

Every record is made printable first, since libraries log foreign text. Repeated messages of a bus are summed up,
by `repeated_messages`, but not for events, which have each message; `background_handler` keeps a slow output away from the event loop. A record's attribute
`bus` names its bus, `state` the bus's state.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import time

from cancorderd.printable import printable
from cancorderd.service import log_file
from cancorderd.service.background_handler import BackgroundHandler, DescriptorHandler
from cancorderd.service.error_stream import log_standard_error
from cancorderd.service.repeated_messages import WINDOWS_S, RepeatedMessages, Summary, cause
from cancorderd.standard_error import STANDARD_ERROR

_REMEDY = "Install systemd-python: apt install python3-systemd, or pip install cancorderd[systemd]."
_CLIENTS = "client "
"""Beginning of messages about a client."""
_CLIENTS_LONGEST_S = 60.0
"""For so long at most is a client's message held: who connects is to be seen soon."""
_MOST_LINES = 200
"""Lines of one record: a trace, or the mistakes of a whole configuration."""


class PlainFormatter(logging.Formatter):
    """Formats a record as a line: time, level, bus if there is one, message."""

    def format(self, record: logging.LogRecord) -> str:
        time_and_level = f"{self.formatTime(record)} {record.levelname.lower():7}"
        return f"{time_and_level} {_bus_prefix(record)}{super().format(record)}"


class JournalFormatter(logging.Formatter):
    """Formats bus and message alone: the journal has the rest in fields."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_bus_prefix(record)}{super().format(record)}"


class SummarizingHandler(logging.Handler):
    """Passes records on to `outputs`, repeated records of a bus as summaries; to `all_outputs`, each record."""

    def __init__(self, *outputs: logging.Handler) -> None:
        super().__init__()
        self._outputs = list(outputs)
        self._all_outputs: list[logging.Handler] = []
        self._repeated: RepeatedMessages[logging.LogRecord] = RepeatedMessages()

    def add_for_all(self, output: logging.Handler) -> None:
        """Add an output that gets each record at once."""
        self._all_outputs.append(output)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record = printable_record(record)
        except Exception:  # noqa: BLE001 - a record of a library that cannot be formatted
            self.handleError(record)
            return
        for output in self._all_outputs:
            output.handle(record)
        bus = _attribute(record, "bus")
        if bus and record.levelno >= logging.INFO:
            text = cause(record.getMessage())
            longest_s = _CLIENTS_LONGEST_S if text.startswith(_CLIENTS) else WINDOWS_S[-1]
            kind = (bus, record.levelno, text)
            if not self._repeated.passes(kind, record, time.monotonic(), longest_s=longest_s):
                return
        self._pass_on(record)

    def tick(self, now_s: float) -> None:
        """Log the summaries that are due. Called about once a second, with the monotonic time."""
        self.acquire()
        try:
            for summary in self._repeated.due(now_s):
                self._pass_on(_summary_record(summary))
            for output in self._outputs:
                if isinstance(output, BackgroundHandler):
                    output.tick()
        finally:
            self.release()

    def close(self) -> None:
        """Log the held records, and close the outputs."""
        for summary in self._repeated.rest(time.monotonic()):
            self._pass_on(_summary_record(summary))
        for output in (*self._outputs, *self._all_outputs):
            output.close()
        super().close()

    def _pass_on(self, record: logging.LogRecord) -> None:
        for output in self._outputs:
            output.handle(record)


def set_up(level: str) -> SummarizingHandler:
    """Begin to log, and return the handler that every record passes through; close it at the end.

    From now on, text that is printed to `sys.stderr` is logged.
    """
    warning = None
    output: logging.Handler
    stream = os.environ.get("JOURNAL_STREAM", "")
    if stream and is_stream(stream, os.fstat(STANDARD_ERROR)):
        output, warning = _journal()
    else:
        output = _plain()
    handler = SummarizingHandler(BackgroundHandler(output))
    log_standard_error()
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    log = logging.getLogger("cancorderd")
    log.setLevel(level.upper())
    if warning:
        log.warning("%s", warning)
    return handler


def is_stream(text: str, status: os.stat_result) -> bool:
    """Return whether JOURNAL_STREAM means this file (systemd.exec(5)), and not a parent's standard error."""
    return text == f"{status.st_dev}:{status.st_ino}"


def printable_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy whose message, with the trace of its exception, consists of printable lines of bounded length."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0]:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    lines = text.split("\n")
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = [f"({len(lines) - _MOST_LINES + 1} more lines)"]
    safe = copy.copy(record)
    safe.msg, safe.args = "\n".join(map(printable, lines)), None
    safe.exc_info = safe.exc_text = safe.stack_info = None
    return safe


def journal_fields(record: logging.LogRecord) -> dict[str, str]:
    """Return the fields of our own for a record in the journal."""
    fields = {
        "CANCORDER_BUS": _attribute(record, "bus"),
        "CANCORDER_STATE": _attribute(record, "state"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _journal() -> tuple[logging.Handler, str | None]:
    try:
        from systemd.journal import JournalHandler  # noqa: PLC0415 - optional, and of use only here
    except ImportError:
        return _plain(), f"the journal gets plain lines, without the bus as a field. {_REMEDY}"
    output: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER="cancorderd")
    output.setFormatter(JournalFormatter())
    output.addFilter(_add_fields)  # JournalHandler sends a record's attributes as fields
    return output, None


def _add_fields(record: logging.LogRecord) -> bool:
    record.__dict__.update(journal_fields(record))
    return True


def _plain() -> logging.Handler:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    path = os.environ.get(log_file.VARIABLE, "")
    output = (
        log_file.LogFileHandler(path, encoding)
        if log_file.is_log_file(path, STANDARD_ERROR)
        else DescriptorHandler(STANDARD_ERROR, encoding)
    )
    output.setFormatter(PlainFormatter())
    return output


def _attribute(record: logging.LogRecord, name: str) -> str | None:
    """Return an attribute set by `extra`; None if the record has none of this name."""
    value = record.__dict__.get(name)
    return None if value is None else str(value)


def _bus_prefix(record: logging.LogRecord) -> str:
    bus = _attribute(record, "bus")
    return f"{bus}: " if bus else ""


def _summary_record(summary: Summary[logging.LogRecord]) -> logging.LogRecord:
    """Return the last record of a kind, with the count and the current time."""
    record = logging.makeLogRecord(summary.last.__dict__)
    record.msg, record.args = f"{record.getMessage()}{summary.suffix(_time_of)}", None
    record.created = time.time()
    return record


def _time_of(record: logging.LogRecord) -> str:
    return time.strftime("%H:%M:%S", time.localtime(record.created))
