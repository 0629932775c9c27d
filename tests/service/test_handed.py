from __future__ import annotations

import pytest

from cancorderd.service.handed import Handed, Wish, fitting, kept_name, misfits, missing, named

BOTH = ["0.0.0.0", "::"]
V4, V6, DUAL = frozenset({"0.0.0.0"}), frozenset({"::"}), frozenset(BOTH)


def kept(descriptor: int, covers: frozenset[str] = V4, port: int = 42420, bus: str = "body") -> Handed:
    return Handed(bus, True, covers, port, descriptor)


def from_unit(descriptor: int, covers: frozenset[str] = V4, port: int = 42420) -> Handed:
    return Handed("body", False, covers, port, descriptor)


def test_names_tell_the_bus_and_who_keeps_the_socket() -> None:
    assert named(kept_name("body")) == ("body", True)
    assert named("body") == ("body", False)


@pytest.mark.parametrize(
    ("handed", "wish", "taken", "left"),
    [
        ([kept(3), kept(4, V6)], Wish(BOTH, 42420), [3, 4], []),
        ([kept(3), kept(4, V6)], Wish(BOTH, None), [3, 4], []),
        ([kept(3), kept(4, V6)], Wish(BOTH, 42421), [], BOTH),
        ([kept(3), kept(4, V6)], Wish(["0.0.0.0"], 42420), [3], []),
        ([kept(3)], Wish(BOTH, 42420), [3], ["::"]),
        ([kept(3)], Wish(["127.0.0.1"], 42420), [], ["127.0.0.1"]),
        ([kept(3, bus="other")], Wish(BOTH, 42420), [], BOTH),
        ([from_unit(3, DUAL)], Wish(BOTH, None), [3], []),
        ([from_unit(3, DUAL), kept(4), kept(5, V6)], Wish(BOTH, None), [3], []),
        ([kept(3), from_unit(4)], Wish(BOTH, None), [4], ["::"]),
        ([kept(3, frozenset({"fd00::1"}))], Wish(["FD00:0::1"], None), [3], []),
        ([kept(3), kept(4, V6, 42421)], Wish(BOTH, None), [3], ["::"]),
    ],
)
def test_what_fits(handed: list[Handed], wish: Wish, taken: list[int], left: list[str]) -> None:
    found = fitting(handed, "body", wish)
    assert [one.descriptor for one in found] == taken
    assert missing(wish.listen, found) == left


def test_what_no_bus_takes() -> None:
    handed = [kept(3), kept(4, V6), kept(5, bus="gone"), kept(6, port=42499)]
    wishes = {"body": Wish(BOTH, 42420), "new": Wish(BOTH, None)}
    assert [one.descriptor for one in misfits(handed, wishes)] == [5, 6]
