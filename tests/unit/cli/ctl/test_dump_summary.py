"""The ids of a dump."""

from __future__ import annotations

import pytest

from cancorderd.cli.ctl import dump_summary
from cancorderd.cli.ctl.dump_summary import DumpSummary
from cancorderd.cli.ctl.text_table import text_lines
from cancorderd.protocol.frame import ERROR, EXTENDED, Frame

BEGIN_US = 1_700_000_000_000_000


def summary(*frames: tuple[str, float, int, int]) -> DumpSummary:
    """Return the summary of frames: label, seconds since the begin, id and flags."""
    found = DumpSummary()
    for label, at_s, arbitration_id, flags in frames:
        found.add(label, Frame(BEGIN_US + round(at_s * 1_000_000), arbitration_id, flags, b"a"))
    return found


def test_each_id_has_its_count_rate_and_times() -> None:
    frames = [("body", at / 10, 0x123, 0) for at in range(21)]
    assert text_lines(summary(*frames, ("body", 0.5, 0x123, EXTENDED), ("a", 1, 0x7FF, 0)).table()) == [
        "BUS   ID        COUNT    RATE   FIRST    LAST",
        "a     7FF           1       -  1.000s  1.000s",
        "body  123          21  10.0/s  0.000s  2.000s",
        "body  00000123      1       -  0.500s  0.500s",
    ]


def test_json_has_absolute_times() -> None:
    rows = summary(("a", 0, 0x10, 0), ("a", 0.3, 0x10, 0), ("a", 1, 4, ERROR)).as_json()
    assert rows[0] == {
        "bus": "a",
        "id": 0x10,
        "extended": False,
        "error_frame": False,
        "count": 2,
        "per_second": 3.333,
        "first": BEGIN_US / 1_000_000,
        "last": BEGIN_US / 1_000_000 + 0.3,
    }
    assert (rows[1]["id"], rows[1]["error_frame"], rows[1]["per_second"]) == (4, True, None)


def test_stamps_out_of_order_make_no_negative_rate() -> None:
    assert summary(("a", 1, 1, 0), ("a", 0, 1, 0)).as_json()[0]["per_second"] == 1.0


def test_random_ids_take_a_limited_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_summary, "MOST_IDS", 2)
    rows = summary(*[("a", number, number, 0) for number in range(5)], ("a", 9, 1, 0)).as_json()
    assert [(row["id"], row["count"]) for row in rows] == [(0, 1), (1, 2), (None, 3)]


def test_nothing_arrived() -> None:
    assert text_lines(DumpSummary().table()) == ["BUS  ID  COUNT  RATE  FIRST  LAST"]
