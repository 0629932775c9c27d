"""The account of a stream: no frame is unaccounted for, and no place counts more than is missing."""

from __future__ import annotations

import pytest

from tests.faults.account import Account, lost_by_place


@pytest.mark.parametrize(
    ("sent", "received", "lost", "unaccounted"),
    [
        (100, 100, {}, 0),
        (100, 90, {"kernel": 10}, 0),
        (100, 90, {"kernel": 4, "unknown": 6}, 0),
        (100, 90, {"kernel": 9}, 1),
        (100, 90, {}, 10),
        (100, 90, {"unknown": 25}, 0),
    ],
)
def test_unaccounted_is_the_rest(sent: int, received: int, lost: dict[str, int], unaccounted: int) -> None:
    assert Account(sent, received, lost, rate=10).unaccounted == unaccounted


@pytest.mark.parametrize(("unknown", "right"), [(10, True), (30, True), (31, False)])
def test_unknown_is_at_most_twice_the_truth_and_a_second_of_frames(unknown: int, right: bool) -> None:
    found = Account(100, 90, {"unknown": unknown}, rate=10).mistakes()
    assert (not found) == right
    if not right:
        assert found == ["lost.unknown is 31; 10 frames are missing, so that 30 is the most"]


def test_frames_lost_at_known_places_are_not_the_truth_about_unknown_ones() -> None:
    assert Account(100, 80, {"kernel": 20, "unknown": 10}, rate=10).mistakes() == []
    assert Account(100, 80, {"kernel": 20, "unknown": 11}, rate=10).mistakes()


def test_frames_of_a_closed_adapter_may_be_in_the_estimate() -> None:
    assert Account(100, 90, {"unknown": 40}, rate=10, closed=5).mistakes() == []
    assert Account(100, 90, {"unknown": 41}, rate=10, closed=5).mistakes()


def test_more_frames_than_were_sent_are_a_mistake() -> None:
    assert "101 frames received, but only 100 sent" in Account(100, 101).mistakes()


def test_more_known_loss_than_missing_frames_is_a_mistake() -> None:
    assert Account(100, 95, {"kernel": 6}).mistakes() == ["6 frames counted as lost, but only 5 are missing"]


def test_lost_by_place_adds_the_streams_and_leaves_out_places_without_loss() -> None:
    accounts = [Account(9, 0, {"kernel": 3, "adapter": 0}), Account(9, 0, {"kernel": 2, "unknown": 1})]
    assert lost_by_place(accounts) == {"kernel": 5, "unknown": 1}
