from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.log_files.entries import Unreadable
from cancorderd.adapters.log_files.line_parser import all_bytes, is_comment, payload, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_date_is_utc_in_any_time_zone() -> None:
    assert seconds("2020-01-01 00:00:01.500000") == 1_577_836_801.5


@pytest.mark.parametrize("text", ["noon", "2020-01", "2020-W01-1", "2020-13-01 00:00:00", "nan", "inf", ""])
def test_text_that_is_no_time(text: str) -> None:
    with pytest.raises(Unreadable, match=f'^"{text}" is no time$'):
        seconds(text)


def test_numbers_are_seconds() -> None:
    assert [seconds(text) for text in ("0", "-1.5", "1e9")] == [0.0, -1.5, 1e9]


def test_comments() -> None:
    assert [is_comment(text) for text in ("", "  ", "# a", "; a", "// a", "1 # a")] == [True] * 5 + [False]


def test_bytes() -> None:
    assert payload("11 22") == payload("1122") == b"\x11\x22"
    with pytest.raises(Unreadable, match=r'^"1G" are no bytes in hexadecimal$'):
        payload("1G")
    assert all_bytes(b"abc", 2) == b"ab"
    with pytest.raises(Unreadable, match=r"^2 of 3 bytes$"):
        all_bytes(b"ab", 3)
