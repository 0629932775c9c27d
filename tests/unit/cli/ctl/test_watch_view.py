"""The keys of `status --watch`."""

from __future__ import annotations

import pytest

from cancorderd.cli.ctl.watch_view import HELP, View
from tests.unit.cli.ctl.sample_status import sample_bus

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("selected", "keys", "then"),
    [
        ("", "j", "a"),
        ("a", "j", "b"),
        ("a", "jj", "c"),
        ("c", "j", "c"),
        ("c", "k", "b"),
        ("a", "\x1b[B", "b"),
        ("a", "\x1bOB\x1bOB", "c"),
        ("c", "\x1b[A", "b"),
        ("a", "\x1b[6~", "c"),
        ("c", "\x1b[5~", "a"),
        ("b", "g", "a"),
        ("b", "G", "c"),
        ("gone", "j", "a"),
        ("b", "\x1b[1;5C", "b"),
        ("b", "x", "b"),
    ],
)
def test_keys_select_a_bus(selected: str, keys: str, then: str) -> None:
    view, action = View(selected=selected).pressed(keys, NAMES)
    assert (view.selected, action) == (then, "")


def test_a_page_without_buses_selects_none() -> None:
    assert View().pressed("jGgkr", [])[0].selected == ""


def test_a_restart_has_to_be_confirmed() -> None:
    asking, action = View(selected="b").pressed("r", NAMES)
    assert (asking.asking, action) == (True, "")
    assert asking.pressed("y", NAMES) == (View(selected="b"), "restart")
    assert asking.pressed("x", NAMES) == (View(selected="b"), "")
    assert asking.pressed("q", NAMES) == (View(selected="b"), ""), "q cancels, and does not quit"


def test_without_a_selected_bus_nothing_restarts() -> None:
    view, action = View().pressed("ry", NAMES)
    assert (view.asking, action) == (False, "")
    assert View().pressed("r", NAMES)[0].note.startswith("Select a bus first")


@pytest.mark.parametrize("key", ["q", "Q"])
def test_q_quits(key: str) -> None:
    assert View().pressed(f"?{key}j", NAMES)[1] == "quit"


def test_help_opens_and_closes() -> None:
    opened = View().pressed("?", NAMES)[0]
    assert opened.help
    assert not opened.pressed("?", NAMES)[0].help


def test_s_goes_through_all_orders() -> None:
    buses = [
        sample_bus("b", load=0.1, lost={"kernel": 9, "adapter": 0, "clients": 0, "unknown": 0}),
        sample_bus("c", load=0.9, state="failed"),
        sample_bus("a", load=0.5, clients=[]),
    ]
    view = View()
    found = {}
    for _ in range(7):
        found[view.order] = "".join(bus["name"] for bus in view.ordered(buses))
        view = view.pressed("s", NAMES)[0]
    assert view.order == "", "around"
    assert list(found) == ["", "name", "what is wrong", "frames/s", "load", "clients", "lost"], (
        "as the help says"
    )
    assert found == {
        "": "bca",
        "name": "abc",
        "what is wrong": "cba",
        "frames/s": "bca",
        "load": "cab",
        "clients": "bca",
        "lost": "bca",
    }


def test_help_has_a_line_for_every_kind_of_key() -> None:
    assert [line[:15].rstrip() for line in HELP] == ["q, Ctrl+C", "j, k, arrows", "g, G", "s", "r", "?"]
    assert all(line[14:16].strip() == line[15] for line in HELP), "the descriptions stand in one column"
    orders = HELP[3].partition(": ")[2].split(", ")
    assert orders == ["as configured", "by name", "by what is wrong", "frames/s", "load", "clients", "lost"]
