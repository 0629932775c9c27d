"""The stream of a gateway, and how an existing one differs."""

from __future__ import annotations

from cancorderd.hub.stream_plan import GB, Limits, differences, limits_text, stream_config

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
