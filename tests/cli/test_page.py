"""The page of `status --watch`."""

from __future__ import annotations

from typing import Any

from cancorderd.cli.page import Known, answered, page
from tests.cli.test_layout import bus, text


def status(*buses: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1", "pid": 4, "uptime_s": 61, "config": "/x.toml", "buses": list(buses)}


def shown(known: Known, size: tuple[int, int] = (120, 24), now: float = 1185.0) -> list[str]:
    return [line.rstrip() for line in text(page(known, now, "12:00:00", size))]


def test_page() -> None:
    lines = shown(answered(Known(), status(bus()), 1185.0))
    assert lines[0] == "cancorderd 1, process 4, up 1m01s, /x.toml: 1 of 1 buses running"
    assert lines[1] == "12:00:00  1234 frames/s, 1 client, 6 lost; q ends"
    assert lines[2] == ""
    assert lines[3].startswith("BUS ")
    assert lines[4].startswith("body ")
    assert "██▎" in lines[4]


def test_daemon_that_was_never_there() -> None:
    lines = page(Known(problem="cancorderd is not running; waiting"), 5.0, "12:00:00", (80, 24))
    assert text(lines) == [
        "cancorderd",
        "cancorderd is not running; waiting",
        "12:00:00  0 frames/s, 0 clients, 0 lost; q ends",
    ]
    assert lines[1][0][1] == "bold white on red"


def test_daemon_that_is_gone_leaves_its_last_answer_in_grey() -> None:
    known = answered(Known(), status(bus()), 1185.0)._replace(problem="cancorderd is not running; waiting")
    lines = page(known, 1190.0, "12:00:00", (120, 24))
    assert text(lines)[1] == "cancorderd is not running; waiting; the answer below is 5s old"
    assert {style for line in lines[4:] for _, style in line} == {"dim"}
    assert "3m05s" in text(lines)[5], "as old as it was"


def test_answers_end_a_problem_and_tell_who_lost_since() -> None:
    lost = {"kernel": 1, "adapter": 2, "clients": 4}
    first = answered(Known(problem="x"), status(bus("a"), bus("b")), 1.0)
    assert (first.problem, set(first.grew)) == ("", set())
    assert set(answered(first, status(bus("a", lost=lost), bus("b")), 2.0).grew) == {"a"}
    assert set(answered(first, status(bus("new", lost=lost)), 2.0).grew) == set()


def test_low_windows_show_who_is_in_trouble() -> None:
    buses = [bus(f"bus{number}") for number in range(30)] + [bus("bad", state="failed", reason="why not")]
    lines = shown(answered(Known(), status(*buses), 1185.0), (120, 10))
    assert "6 of 31 buses, a higher window shows more" in lines[1]
    assert [line.split()[0] for line in lines[4:10]] == ["bad", "bus0", "bus1", "bus2", "bus3", "bus4"]


def test_heads_are_cut_in_narrow_windows() -> None:
    lines = shown(answered(Known(), status(bus()), 1185.0), (30, 24))
    assert all(len(line) <= 30 for line in lines[:5])
