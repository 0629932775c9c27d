from __future__ import annotations

import pytest

from cancorderd.service.inherited_sockets import (
    InheritedSocket,
    fitting,
    misfits,
    parse_name,
    stored_name,
    uncovered,
)
from cancorderd.supervisor.listeners import ListenRequest

BOTH = ["0.0.0.0", "::"]
V4, V6, DUAL = frozenset({"0.0.0.0"}), frozenset({"::"}), frozenset(BOTH)


def stored(
    descriptor: int, covers: frozenset[str] = V4, port: int = 42420, bus: str = "body"
) -> InheritedSocket:
    return InheritedSocket(bus, True, covers, port, descriptor)


def from_unit(descriptor: int, covers: frozenset[str] = V4, port: int = 42420) -> InheritedSocket:
    return InheritedSocket("body", False, covers, port, descriptor)


def test_names_contain_the_bus_and_the_kind() -> None:
    assert parse_name(stored_name("body")) == ("body", True)
    assert parse_name("body") == ("body", False)


@pytest.mark.parametrize(
    ("inherited", "wanted", "used", "left"),
    [
        ([stored(3), stored(4, V6)], ListenRequest(BOTH, 42420), [3, 4], []),
        ([stored(3), stored(4, V6)], ListenRequest(BOTH, None), [3, 4], []),
        ([stored(3), stored(4, V6)], ListenRequest(BOTH, 42421), [], BOTH),
        ([stored(3), stored(4, V6)], ListenRequest(["0.0.0.0"], 42420), [3], []),
        ([stored(3)], ListenRequest(BOTH, 42420), [3], ["::"]),
        ([stored(3)], ListenRequest(["127.0.0.1"], 42420), [], ["127.0.0.1"]),
        ([stored(3, bus="other")], ListenRequest(BOTH, 42420), [], BOTH),
        ([from_unit(3, DUAL)], ListenRequest(BOTH, None), [3], []),
        ([from_unit(3, DUAL), stored(4), stored(5, V6)], ListenRequest(BOTH, None), [3], []),
        ([stored(3), from_unit(4)], ListenRequest(BOTH, None), [4], ["::"]),
        ([stored(3, frozenset({"fd00::1"}))], ListenRequest(["FD00:0::1"], None), [3], []),
        ([stored(3, frozenset({"fe80::1%eth0"}))], ListenRequest(["FE80:0::1%eth0"], None), [3], []),
        (
            [stored(3, frozenset({"fe80::1%eth0"}))],
            ListenRequest(["fe80::1%eth1"], None),
            [],
            ["fe80::1%eth1"],
        ),
        ([stored(4), from_unit(3)], ListenRequest(["0.0.0.0"], None), [3], []),
        ([stored(3), stored(4, V6, 42421)], ListenRequest(BOTH, None), [3], ["::"]),
    ],
)
def test_fitting_sockets(
    inherited: list[InheritedSocket], wanted: ListenRequest, used: list[int], left: list[str]
) -> None:
    found = fitting(inherited, "body", wanted)
    assert [sock.descriptor for sock in found] == used
    assert uncovered(wanted.addresses, found) == left


def test_sockets_that_no_bus_can_use() -> None:
    inherited = [stored(3), stored(4, V6), stored(5, bus="gone"), stored(6, port=42499)]
    requests = {"body": ListenRequest(BOTH, 42420), "new": ListenRequest(BOTH, None)}
    assert [sock.descriptor for sock in misfits(inherited, requests)] == [5, 6]
