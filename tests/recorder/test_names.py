from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cancorderd.recorder import room
from cancorderd.recorder.names import name_of, too_many

BEGUN = datetime(2026, 11, 22, 16, 46, 30, tzinfo=UTC)


def test_a_name_tells_bus_time_and_format() -> None:
    assert name_of("body", BEGUN, "blf", 1) == "body-20261122T164630Z.blf"
    assert name_of("body", BEGUN, "log", 12) == "body-20261122T164630Z-12.log"


def test_the_oldest_go_first_and_the_current_one_counts() -> None:
    hours = [name_of("a", BEGUN + timedelta(hours=hour), "log", 1) for hour in range(5)]
    assert too_many(reversed(hours), "a", 3, hours[4]) == hours[:2]
    assert too_many(hours, "a", 1, hours[4]) == hours[:4]
    assert too_many(hours, "a", 5, hours[4]) == []
    assert too_many(hours, "a", 0, hours[4]) == [], "0 keeps all"


def test_turns_within_a_second_are_in_order() -> None:
    turns = [name_of("a", BEGUN, "log", turn) for turn in range(1, 13)]
    assert too_many(sorted(turns), "a", 3, turns[11]) == turns[:9]


def test_the_current_one_stays_where_the_clock_was_set_back() -> None:
    later = [name_of("a", BEGUN + timedelta(days=day), "log", 1) for day in (1, 2)]
    now = name_of("a", BEGUN, "log", 1)
    assert too_many([*later, now], "a", 2, now) == later[:1]


def test_a_change_of_format_removes_the_old_ones_too() -> None:
    old, new = name_of("a", BEGUN, "log", 1), name_of("a", BEGUN + timedelta(1), "mf4", 1)
    assert too_many([old, new], "a", 1, new) == [old]


def test_nothing_else_is_ever_removed() -> None:
    current = "a-20261122T164630Z.log"
    others = [
        "b-20200101T000000Z.log", "A-20200101T000000Z.log", "a-b-20200101T000000Z.log",
        "a-20200101T000000Z-20200101T000000Z.log", "a-20200101T000000Z.log.gz", "a-20200101T000000Z.csv",
        "a-20200101T000000Z-x.log", "a-2020.log", "a-20200101T000000.log", "notes.txt", "a.log", "",
        "xa-20200101T000000Z.log", "a-20200101T000000Z.log\n",
    ]  # fmt: skip
    assert too_many([*others, current], "a", 1, current) == []
    mine = "a-20200101T000000Z-20200101T000000Z.log"
    assert too_many(others, "a-20200101T000000Z", 1, "x") == [mine], "a bus may be called like that"


def test_room_is_left_for_others_and_more_before_it_begins_again() -> None:
    small, large = 10_000_000, 1_000_000_000_000
    assert room.reserve(small) == 200_000
    assert room.reserve(large) == 100_000_000
    for total in (small, large):
        edge = room.reserve(total)
        assert room.goes_on(total, edge, 0)
        assert not room.goes_on(total, edge - 1, 0)
        assert not room.goes_on(total, edge + 5, 6), "an mf4 takes its size once more"
        assert not room.begins_again(total, 2 * edge - 1)
        assert room.begins_again(total, 2 * edge)
