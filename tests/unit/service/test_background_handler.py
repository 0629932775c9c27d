"""Logging into outputs that stand still, come to life again, fail or are gone."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import threading

import pytest

from cancorderd.service.background_handler import BackgroundHandler, DescriptorHandler
from tests.support.harness import poll


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO"})


class SlowOutput(logging.Handler):
    """An output that stands still until `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.released.wait(60)
        self.texts.append(record.getMessage())


def test_an_output_that_stands_still_delays_nothing_and_missing_messages_are_counted() -> None:
    output = SlowOutput()
    handler = BackgroundHandler(output)
    for number in range(3000):
        handler.handle(record(str(number)))
    output.released.set()
    poll(lambda: len(output.texts) >= 1000)
    poll(lambda: not handler._waiting)
    handler.handle(record("after"))
    poll(lambda: output.texts[-1] == "after")
    kept = [text for text in output.texts if text.isdigit()]
    assert kept == [str(number) for number in range(len(kept))]
    missing = [int(text.split()[0]) for text in output.texts if "missing here" in text]
    assert sum(missing) == 3000 - len(kept) > 1000
    handler.close()


def test_missing_messages_are_reported_even_if_no_other_message_follows() -> None:
    output = SlowOutput()
    handler = BackgroundHandler(output)
    for number in range(1100):
        handler.handle(record(str(number)))
    output.released.set()
    poll(lambda: not handler._waiting)
    handler.tick()
    poll(lambda: "missing here" in output.texts[-1])
    handler.close()


def test_the_end_gives_an_output_up_that_stands_still() -> None:
    output = SlowOutput()
    handler = BackgroundHandler(output)
    handler.handle(record("never"))
    ended = threading.Thread(target=handler.close, daemon=True)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    assert output.texts == []
    output.released.set()


def test_the_end_writes_all_that_waits() -> None:
    reader, writer = os.pipe()
    handler = BackgroundHandler(DescriptorHandler(writer, "utf-8"))
    for number in range(100):
        handler.handle(record(str(number)))
    handler.close()
    handler.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert lines.read().split() == [str(number) for number in range(100)]


def test_failures_of_the_output_are_counted() -> None:
    class Failing(logging.Handler):
        fails = True
        texts: list[str] = []  # noqa: RUF012

        def emit(self, record: logging.LogRecord) -> None:
            if self.fails:
                raise OSError
            self.texts.append(record.getMessage())

    output = Failing()
    handler = BackgroundHandler(output)
    for _ in range(5):
        handler.handle(record("lost"))
    poll(lambda: handler._written == 5)
    output.fails = False
    handler.handle(record("well again"))
    handler.close()
    assert output.texts == ["5 messages are missing here: the reader of this log was too slow", "well again"]


def test_filters_of_the_output_see_every_record() -> None:
    output = SlowOutput()
    output.released.set()
    output.addFilter(lambda record: record.getMessage() != "unwanted")
    handler = BackgroundHandler(output)
    for text in ("first", "unwanted", "second"):
        handler.handle(record(text))
    handler.close()
    assert output.texts == ["first", "second"]


@pytest.mark.parametrize(("encoding", "line"), [("utf-8", "Prüfstand"), ("ascii", "Pr\\xfcfstand")])
def test_a_descriptor_takes_every_character(encoding: str, line: str) -> None:
    reader, writer = os.pipe()
    DescriptorHandler(writer, encoding).emit(record("Prüfstand"))
    assert os.read(reader, 100).decode() == f"{line}\n"
    os.close(reader)
    os.close(writer)


def test_a_descriptor_that_another_program_has_made_non_blocking_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    text = "x" * (2 * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    thread = threading.Thread(target=DescriptorHandler(writer, "utf-8").emit, args=[record(text)])
    thread.start()
    found = b""
    while len(found) < len(text) + 1 and select.select([reader], [], [], 60)[0]:
        found += os.read(reader, 1 << 16)
    thread.join(60)
    assert found.decode() == f"{text}\n"
    os.close(reader)
    os.close(writer)
