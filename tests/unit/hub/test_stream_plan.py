"""The stream of a gateway, and how an existing one differs."""

from __future__ import annotations

import pytest

from cancorderd.hub.stream_plan import GB, Difference, Limits, differences, limits_text, stream_config

PLAN = stream_config("truck", Limits())


def test_plan_differs_not_from_itself_with_what_a_server_adds() -> None:
    found = {**PLAN, "max_consumers": -1, "republish": {**PLAN["republish"], "further": 1}}
    assert differences(found, PLAN, frozenset({"max_bytes", "max_age", "num_replicas"})) == []


def test_differences_are_named_with_their_reason() -> None:
    found = {**PLAN, "allow_direct": False, "discard": "new"}
    del found["republish"]
    assert [each.key for each in differences(found, PLAN)] == ["discard", "allow_direct", "republish"]
    assert all(each.reason for each in differences(found, PLAN))


def test_limits_differ_only_if_they_were_asked_for() -> None:
    found = {**PLAN, "max_bytes": 1}
    assert differences(found, PLAN) == []
    (difference,) = differences(found, PLAN, frozenset({"max_bytes"}))
    assert (difference.found, difference.wanted) == (1, 10 * GB)


def test_limits_in_words() -> None:
    assert limits_text(PLAN) == "keeps 10 GB or 30 days, 1 replica"
    assert (
        limits_text({"max_bytes": -1, "num_replicas": 3})
        == "keeps everything until the disk is full, 3 replicas"
    )


def test_the_plan_in_the_words_of_jetstream() -> None:
    assert stream_config("truck-17", Limits(max_bytes=5, max_age_s=3, replicas=2)) == {
        "name": "CAN_truck-17",
        "description": "CAN buses of truck-17",
        "subjects": ["can.truck-17.*"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_bytes": 5,
        "max_age": 3_000_000_000,
        "num_replicas": 2,
        "allow_direct": True,
        "republish": {
            "src": "can.truck-17.*",
            "dest": "stored.truck-17.{{wildcard(1)}}",
            "headers_only": True,
        },
    }
    assert (PLAN["max_bytes"], PLAN["max_age"], PLAN["num_replicas"]) == (10**10, 2_592_000 * 10**9, 1)


@pytest.mark.parametrize(
    ("key", "found", "reason"),
    [
        ("subjects", ["can.other.*"], "the buses' subjects are not stored here"),
        ("subjects", ["can.truck.>"], "messages of others may be stored here, too"),
        ("subjects", ["can.truck.*", "other"], "messages of others may be stored here, too"),
        ("retention", "workqueue", "messages would go when they are read"),
        ("storage", "memory", "RAM loses everything when the hub stops"),
        ("discard", "new", "a full stream would refuse new frames"),
        ("allow_direct", None, "viewers cannot read without it"),
        ("republish", None, "viewers of the hub in a box are not woken without it"),
        ("republish", {**PLAN["republish"], "headers_only": False}, "viewers of the hub in a box are not woken without it"),
        ("max_bytes", 1, "asked for"),
        ("max_age", 1, "asked for"),
        ("num_replicas", 3, "asked for"),
    ],
)  # fmt: skip
def test_each_setting_that_differs_has_its_reason(key: str, found: object, reason: str) -> None:
    asked = frozenset({"max_bytes", "max_age", "num_replicas"})
    (difference,) = differences({**PLAN, key: found}, PLAN, asked)
    assert difference == Difference(key, found, PLAN[key], reason, reason.startswith("the buses' subjects"))


@pytest.mark.parametrize(
    ("key", "found", "wanted"),
    [("max_msg_size", 69_999, -1), ("no_ack", True, False), ("sealed", True, False), ("mirror", {"name": "x"}, None)],
)  # fmt: skip
def test_each_setting_that_prevents_forwarding(key: str, found: object, wanted: object) -> None:
    (difference,) = differences({**PLAN, key: found}, PLAN)
    assert (difference.key, difference.found, difference.wanted) == (key, found, wanted)
    assert difference.prevents
    assert difference.reason


def test_harmless_settings_are_no_difference() -> None:
    assert differences({**PLAN, "max_msg_size": 70_000, "no_ack": False, "max_msgs": -1}, PLAN) == []


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"max_bytes": 500_000_000, "max_age": 0}, "keeps 0.5 GB, 1 replica"),
        ({"max_age": 43_200 * 10**9, "num_replicas": 2}, "keeps 0.5 days, 2 replicas"),
        ({"max_bytes": 0, "max_age": 0}, "keeps everything until the disk is full, 1 replica"),
        ({"max_bytes": 1, "max_age": 1}, "keeps 1 bytes or 1e-09 s, 1 replica"),
        ({"max_bytes": 20_000_000, "max_age": 7_200 * 10**9}, "keeps 20 MB or 2 hours, 1 replica"),
        ({"max_bytes": 20_000, "max_age": 60 * 10**9}, "keeps 20 kB or 1 minutes, 1 replica"),
        ({"max_msgs": 7, "max_msgs_per_subject": 3}, "keeps 7 messages or 3 messages of each bus, 1 replica"),
        ({}, "keeps everything until the disk is full, 1 replica"),
    ],
)
def test_any_limits_in_words(config: dict[str, int], text: str) -> None:
    assert limits_text(config) == text
