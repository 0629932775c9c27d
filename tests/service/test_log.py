from __future__ import annotations

import io
import logging
import os
import sys

import pytest

from cancorderd.service.log import PlainFormatter, SummedUp, is_stream, journal_fields


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


def test_the_journal_is_used_only_where_standard_error_goes_there() -> None:
    status = os.fstat(sys.__stderr__.fileno()) if sys.__stderr__ else os.stat("/")
    assert is_stream(f"{status.st_dev}:{status.st_ino}", status)
    assert not is_stream(f"{status.st_dev}:{status.st_ino + 1}", status)


@pytest.fixture
def lines() -> tuple[SummedUp, io.StringIO]:
    text = io.StringIO()
    return SummedUp(logging.StreamHandler(text)), text


def test_a_bus_that_repeats_itself_is_summed_up(lines: tuple[SummedUp, io.StringIO]) -> None:
    handler, text = lines
    for _ in range(5):
        handler.handle(record("backoff: went down", bus="body"))
        handler.handle(record("backoff: went down", bus="other"))
    assert text.getvalue() == "backoff: went down\n" * 2
    handler.close()
    assert text.getvalue().count("backoff: went down (4 times in 0 s)") == 2


def test_what_is_no_buss_and_what_is_for_debugging_always_passes(lines: tuple[SummedUp, io.StringIO]) -> None:
    handler, text = lines
    for _ in range(3):
        handler.handle(record("reload refused"))
        handler.handle(record("starting", logging.DEBUG, bus="body"))
    assert text.getvalue() == "reload refused\nstarting\n" * 3
