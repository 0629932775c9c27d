from __future__ import annotations

from typing import Any

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.supervisor.changes import ChangeKind, find_changes, needs_new_worker, table_change


def bus(name: str, **keys: Any) -> MockSettings:
    return MockSettings(name=name, interface="mock", **keys)


@pytest.mark.parametrize(
    ("before", "after", "kind", "keys"),
    [
        ({}, {}, ChangeKind.UNCHANGED, []),
        ({}, {"speed": 2.0}, ChangeKind.RESTARTED, ["speed"]),
        ({}, {"port": 5000, "bitrate": 1}, ChangeKind.RESTARTED, ["bitrate", "port"]),
        ({}, {"zeroconf": False, "watchdog": 5.0}, ChangeKind.UPDATED, ["watchdog", "zeroconf"]),
        ({}, {"service_name": "ECUconnect-Logger car"}, ChangeKind.UPDATED, ["service_name"]),
        (
            {},
            {"service_name": "ECUconnect-Logger car", "speed": 2.0},
            ChangeKind.RESTARTED,
            ["service_name", "speed"],
        ),
        ({}, {"enabled": False}, ChangeKind.DISABLED, ["enabled"]),
        ({"enabled": False}, {"speed": 2.0}, ChangeKind.ENABLED, ["enabled", "speed"]),
        ({"enabled": False}, {"enabled": False, "speed": 2.0}, ChangeKind.UPDATED, ["speed"]),
    ],
)
def test_kind_of_change(
    before: dict[str, Any], after: dict[str, Any], kind: ChangeKind, keys: list[str]
) -> None:
    assert find_changes({"a": bus("a", **before)}, {"a": bus("a", **after)}) == [("a", kind, keys)]


def test_added_and_removed_buses_in_the_order_of_the_files() -> None:
    found = find_changes({"a": bus("a"), "b": bus("b")}, {"c": bus("c"), "b": bus("b")})
    assert [(change.bus, change.kind) for change in found] == [
        ("c", ChangeKind.ADDED),
        ("b", ChangeKind.UNCHANGED),
        ("a", ChangeKind.REMOVED),
    ]


@pytest.mark.parametrize(
    "keys", [{"enabled": False}, {"zeroconf": False}, {"service_name": "x"}, {"watchdog": 3.0}], ids=str
)
def test_worker_stays_if_only_the_supervisor_uses_what_has_changed(keys: dict[str, Any]) -> None:
    assert not needs_new_worker(bus("a"), bus("a", **keys))
    assert needs_new_worker(bus("a"), bus("a", **keys, speed=2.0))


def test_bus_whose_automatic_port_another_takes_is_restarted() -> None:
    same = {"a": bus("a"), "b": bus("b")}
    assert find_changes(same, same, {"a"}) == [
        ("a", ChangeKind.RESTARTED, ["port"]),
        ("b", ChangeKind.UNCHANGED, []),
    ]


def test_change_of_a_table() -> None:
    hub = ForwardSettings(url=("tls://hub",))
    assert table_change("forward", hub, ForwardSettings(url=("tls://hub",))) == ""
    assert table_change("forward", None, None) == ""
    assert table_change("forward", None, hub) == "[forward]: added"
    assert table_change("forward", hub, None) == "[forward]: removed"
    after = ForwardSettings(url=("tls://hub",), gateway="truck-18", flush_ms=20)
    assert table_change("forward", hub, after) == "[forward]: updated (flush_ms, gateway)"
