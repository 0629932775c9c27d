"""Rows of the table of drills, and the names of the drills."""

from __future__ import annotations

import re

import pytest

from tests.faults import table
from tests.faults.account import Account
from tests.faults.collection import modules, named
from tests.faults.drill import Result, Row, Scale


def row(*accounts: Account) -> Row:
    return Row(times=2, recoveries_s=[1.0, 3.0], accounts=list(accounts))


def test_a_stream_does_not_make_up_for_another() -> None:
    streams = row(Account(10, 8), Account(10, 10, {"unknown": 2}, rate=5))
    assert streams.unaccounted == 2
    assert streams.failures == ["2 frames unaccounted for"]


def test_a_mistake_fails_a_drill_whose_frames_are_all_there() -> None:
    good = row(Account(10, 10))
    good.expect(True, "unused")
    assert good.failures == []
    good.expect(False, "the port was closed")
    assert good.failures == ["the port was closed"]


def test_line_has_the_figures_and_each_failure() -> None:
    result = Result(
        "workers:killed", "a worker gets SIGKILL", row(Account(10, 8, {"kernel": 1})), 4.0
    ).as_json()
    first, second = table.line(result).splitlines()
    assert first.split() == [
        "FAILED", "workers:killed", "a", "worker", "gets", "SIGKILL", "2", "2.00", "3.00", "10", "8", "1", "kernel",
        "1",
    ]  # fmt: skip
    assert second.strip() == "1 frames unaccounted for"
    assert table.end([result], 4.0) == (
        "0 of 1 drills passed in 4 s; 10 frames sent, 8 received, 1 unaccounted for"
    )


def test_drill_without_frames_and_without_recovery_has_a_line() -> None:
    assert table.line(Result("a:b", "c", Row()).as_json()).startswith("ok")


def test_scale_chooses_its_form() -> None:
    assert (Scale().of(1, 2), Scale(long=True).of(1, 2)) == (1, 2)


@pytest.mark.parametrize("module", modules())
def test_names_of_drills_are_unique_and_phrases_fit_into_the_table(module: str) -> None:
    drills = modules()[module]
    assert len({drill.name for drill in drills}) == len(drills)
    assert all(re.fullmatch(r"[a-z0-9-]+", drill.name) for drill in drills)
    assert all(len(f"{module}:{drill.name}") <= 28 and len(drill.breaks) <= 60 for drill in drills)


def test_names_choose_modules_and_drills() -> None:
    assert named(["workers:killed", "workers"])["workers"][0].name == "killed"
    assert list(named([])) == list(modules())
    with pytest.raises(KeyError):
        named(["workers:none"])
