from __future__ import annotations

import io
import logging
import os
import sys

import pytest

from cancorderd.service.log import PlainFormatter, SummarizingHandler, is_stream, journal_fields


def record(text: str, level: int = logging.WARNING, **more: str) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": text, "levelno": level, "levelname": logging.getLevelName(level), **more}
    )


def test_plain_lines_have_time_level_and_bus() -> None:
    line = PlainFormatter().format(record("down", bus="body"))
    assert line.endswith(" warning body: down")
    assert PlainFormatter().format(record("stopping", logging.INFO)).endswith(" info    stopping")


def test_fields_of_the_journal() -> None:
    assert journal_fields(record("down", bus="body", state="waiting")) == {
        "CANCORDER_BUS": "body",
        "CANCORDER_STATE": "waiting",
    }
    assert journal_fields(record("stopping")) == {}


def test_the_journal_is_used_only_if_standard_error_is_connected_to_it() -> None:
    status = os.fstat(sys.__stderr__.fileno()) if sys.__stderr__ else os.stat("/")
    assert is_stream(f"{status.st_dev}:{status.st_ino}", status)
    assert not is_stream(f"{status.st_dev}:{status.st_ino + 1}", status)


@pytest.fixture
def lines() -> tuple[SummarizingHandler, io.StringIO]:
    text = io.StringIO()
    return SummarizingHandler(logging.StreamHandler(text)), text


def test_repeated_messages_of_a_bus_are_summed_up(lines: tuple[SummarizingHandler, io.StringIO]) -> None:
    handler, text = lines
    for _ in range(9):
        handler.handle(record("backoff: went down", bus="body"))
        handler.handle(record("backoff: went down", bus="other"))
    assert text.getvalue() == "backoff: went down\n" * 10
    handler.close()
    assert text.getvalue().count("backoff: went down (4 more times in 0 s, from ") == 2


def test_an_output_for_all_gets_each_message_at_its_time(
    lines: tuple[SummarizingHandler, io.StringIO],
) -> None:
    handler, _ = lines
    got: list[logging.LogRecord] = []

    class Everything(logging.Handler):
        def emit(self, each: logging.LogRecord) -> None:
            got.append(each)

    handler.add_for_all(Everything())
    sent = [record("backoff: went down", bus="body") for _ in range(9)]
    for each in sent:
        handler.handle(each)
    handler.close()
    assert [each.created for each in got] == [each.created for each in sent]


def test_messages_without_a_bus_and_debug_messages_always_pass(
    lines: tuple[SummarizingHandler, io.StringIO],
) -> None:
    handler, text = lines
    for _ in range(3):
        handler.handle(record("reload refused"))
        handler.handle(record("starting", logging.DEBUG, bus="body"))
    assert text.getvalue() == "reload refused\nstarting\n" * 3
