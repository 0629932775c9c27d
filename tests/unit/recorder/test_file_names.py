from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cancorderd.recorder.file_names import file_name, recordings, surplus_files

BEGUN = datetime(2026, 11, 22, 16, 46, 30, tzinfo=UTC)


def names_of(names: list[str], bus: str) -> list[str]:
    return [recording.name for recording in recordings(names, bus)]


def test_name_has_bus_number_time_and_format() -> None:
    assert file_name("body", 42, BEGUN, "blf") == "body-000042-20261122T164630Z.blf"
    assert file_name("body", 1_000_000, BEGUN, "log") == "body-1000000-20261122T164630Z.log"


def test_the_number_is_the_order_whatever_the_clock_was() -> None:
    ahead = file_name("a", 7, BEGUN + timedelta(days=4000), "log")
    right = [file_name("a", number, BEGUN, "blf") for number in (8, 9, 999_999, 1_000_000)]
    assert names_of([*reversed(right), ahead], "a") == [ahead, *right]
    assert [recording.number for recording in recordings(right, "a")] == [8, 9, 999_999, 1_000_000]


def test_files_without_a_number_are_older_in_the_order_of_their_times() -> None:
    without = ["a-20261122T164630Z.log", *(f"a-20261122T164630Z-{number}.mf4" for number in range(2, 13))]
    with_number = file_name("a", 1, BEGUN - timedelta(days=4000), "log")
    assert names_of([with_number, *sorted(without)], "a") == [*without, with_number]


def test_other_files_are_no_recordings_of_the_bus() -> None:
    others = [
        "b-20200101T000000Z.log", "A-20200101T000000Z.log", "a-b-20200101T000000Z.log",
        "a-20200101T000000Z-20200101T000000Z.log", "a-20200101T000000Z.log.gz", "a-20200101T000000Z.csv",
        "a-20200101T000000Z-x.log", "a-2020.log", "a-20200101T000000.log", "notes.txt", "a.log", "",
        "xa-20200101T000000Z.log", "a-20200101T000000Z.log\n", "a-00042-20200101T000000Z.log",
        "b-000001-20200101T000000Z.log", "a-000001-000002-20200101T000000Z.log",
        "a-000001-20200101T000000Z-2.log", "a-000001-20200101T000000Z.csv", "a-000001-20200101T000000Z.log~",
    ]  # fmt: skip
    assert names_of(others, "a") == []
    recording = "a-20200101T000000Z-20200101T000000Z.log"
    assert names_of(others, "a-20200101T000000Z") == [recording], "a bus may have such a name"


def test_a_bus_whose_name_ends_like_a_number_does_not_have_the_files_of_another_bus() -> None:
    of_a = file_name("a", 1, BEGUN, "log")
    own = file_name("a-000001", 5, BEGUN, "log")
    assert names_of([of_a, own], "a-000001") == [own]
    assert names_of([of_a, own], "a") == [of_a]


def test_oldest_files_are_surplus_until_the_rest_is_within_the_limit() -> None:
    sizes = [("1", 30), ("2", 30), ("3", 30)]
    assert surplus_files(sizes, 10, 100) == []
    assert surplus_files(sizes, 11, 100) == ["1"]
    assert surplus_files(sizes, 10, 40) == ["1", "2"]
    assert surplus_files(sizes, 10, 39) == ["1", "2", "3"]
    assert surplus_files(sizes, 500, 40) == ["1", "2", "3"], "the current file stays, whatever its size"
    assert surplus_files(sizes, 10**12, 0) == [], "0: no limit"
    assert surplus_files([], 50, 40) == []
