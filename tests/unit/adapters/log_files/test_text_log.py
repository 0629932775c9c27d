"""Entries of a text log whose lines are partly wrong: each good frame once, each flaw once."""

from __future__ import annotations

import pytest

from cancorderd.adapters.log_files.asc import AscParser
from cancorderd.adapters.log_files.candump import CandumpParser
from cancorderd.adapters.log_files.entries import Flaw, LogEnd, LogFrame
from cancorderd.adapters.log_files.text_lines import LONGEST_LINE
from cancorderd.adapters.log_files.text_log import text_entries

GOOD = b"(1.0) can0 123#11\n"


def found(*chunks: bytes) -> list[tuple[int, str]]:
    """Return the line of each entry, and the data of a frame or the beginning of a flaw's text."""
    return [
        (entry.number, entry.data.hex() if isinstance(entry, LogFrame) else entry.fact[:20])
        for entry in text_entries(CandumpParser(), chunks)
    ]


def test_line_that_is_too_long_is_one_flaw() -> None:
    assert found(GOOD, b"x" * (LONGEST_LINE + 1) + b"\n", GOOD) == [
        (1, "11"),
        (2, f"a line of more than {LONGEST_LINE}"[:20]),
        (3, "11"),
    ]


@pytest.mark.parametrize("zeros", [b"\0", bytes(4096)], ids=len)
def test_zeros_of_a_power_failure_are_a_flaw_and_hide_no_frame(zeros: bytes) -> None:
    assert found(zeros + GOOD, GOOD) == [
        (1, "NUL bytes, as a power failure leaves"[:20]),
        (1, "11"),
        (2, "11"),
    ]


def test_what_is_no_frame_is_one_flaw() -> None:
    assert found(GOOD, b"nonsense\n", GOOD) == [(1, "11"), (2, 'no frame: "nonsense"'), (3, "11")]


def test_last_line_that_is_cut_is_a_flaw_and_a_whole_one_is_a_frame() -> None:
    assert found(GOOD, b"(1.0) can0 123#11") == [(1, "11"), (2, "11")]
    assert found(GOOD, b"(1.0) can0 123#1") == [(1, "11"), (2, "the last line is cut")]
    (asc,) = text_entries(AscParser(), [b"0.5 1 123 Rx d 2 11 2"])
    assert isinstance(asc, Flaw)
    assert asc.fact.startswith("the last line is cut")
    (whole,) = text_entries(AscParser(), [b"0.5 1 123 Rx d 2 11 22"])
    assert isinstance(whole, LogFrame)


def test_end_of_the_data_is_the_last_flaw() -> None:
    def chunks() -> object:
        yield GOOD
        raise LogEnd("the file is damaged")

    entries = list(text_entries(CandumpParser(), chunks()))  # type: ignore[arg-type]
    assert entries[-1] == Flaw(2, "the file is damaged")
    assert len(entries) == 2
