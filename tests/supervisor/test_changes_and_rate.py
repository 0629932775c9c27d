from __future__ import annotations

from typing import Any

import pytest

from cancorderd.config.model import MockBus
from cancorderd.report import Counts
from cancorderd.supervisor.changes import Kind, changes
from cancorderd.supervisor.rate import Rate


def bus(name: str, **keys: Any) -> MockBus:
    return MockBus(name=name, interface="mock", **keys)


@pytest.mark.parametrize(
    ("before", "after", "kind", "keys"),
    [
        ({}, {}, Kind.UNCHANGED, []),
        ({}, {"speed": 2.0}, Kind.RESTARTED, ["speed"]),
        ({}, {"port": 5000, "bitrate": 1}, Kind.RESTARTED, ["bitrate", "port"]),
        ({}, {"zeroconf": False, "watchdog": 5.0}, Kind.UPDATED, ["watchdog", "zeroconf"]),
        ({}, {"enabled": False}, Kind.DISABLED, ["enabled"]),
        ({"enabled": False}, {"speed": 2.0}, Kind.ENABLED, ["enabled", "speed"]),
        ({"enabled": False}, {"enabled": False, "speed": 2.0}, Kind.UPDATED, ["speed"]),
    ],
)
def test_kind_of_change(before: dict[str, Any], after: dict[str, Any], kind: Kind, keys: list[str]) -> None:
    assert changes({"a": bus("a", **before)}, {"a": bus("a", **after)}) == [("a", kind, keys)]


def test_added_and_removed_buses_in_the_order_of_the_files() -> None:
    found = changes({"a": bus("a"), "b": bus("b")}, {"c": bus("c"), "b": bus("b")})
    assert [(one.bus, one.kind) for one in found] == [
        ("c", Kind.ADDED),
        ("b", Kind.UNCHANGED),
        ("a", Kind.REMOVED),
    ]


def test_rate_between_two_reports() -> None:
    rate = Rate()
    rate.take(Counts(received=100, payload_bytes=800), 10.0)
    assert rate.frames_per_second == 0
    rate.take(Counts(received=1100, payload_bytes=8800), 12.0)
    assert rate.frames_per_second == 500
    assert rate.load(500_000) == pytest.approx(500 * 111 / 500_000)


def test_reports_that_follow_at_once_do_not_make_the_rate_jump() -> None:
    rate = Rate()
    rate.take(Counts(), 10.0)
    rate.take(Counts(received=1000), 11.0)
    rate.take(Counts(received=1010), 11.01)
    assert rate.frames_per_second == 1000
    rate.take(Counts(received=2000), 12.0)
    assert rate.frames_per_second == 1000


def test_load_is_never_above_one() -> None:
    rate = Rate()
    rate.take(Counts(), 0.0)
    rate.take(Counts(received=1_000_000, payload_bytes=8_000_000), 1.0)
    assert rate.load(500_000) == 1.0
