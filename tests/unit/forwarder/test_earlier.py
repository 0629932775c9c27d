"""Frames that a crashed forwarder took along, by what it had stored."""

from __future__ import annotations

from cancorderd.forwarder.earlier import EarlierStarts
from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.ipc.messages import SafePosition
from tests.unit.forwarder.batches import EARLIER, SPOOL


def after(*stored: int, looked_up: bool = True) -> EarlierStarts:
    """Return the account after a forwarder that had reported 100 frames as stored, up to the position 1100."""
    earlier = EarlierStarts(SPOOL)
    earlier.take_safe("a", SafePosition(EARLIER, 1100, 100))
    for frames in stored:
        earlier.take_stored(EARLIER, "a", frames)
    if looked_up:
        earlier.take_last_message("a", None)
    return earlier


def last_message(spool: str, frames: int) -> BatchHead:
    return BatchHead(BatchId(spool, 9), 10, frames - 10, 1, 2)


def test_frames_between_the_safe_position_and_the_next_start_are_lost() -> None:
    earlier = after()
    assert earlier.lost("a", 1150) == 50
    assert earlier.lost("a", 1150) == 0, "counted once"
    assert earlier.lost("b", 1150) == 0


def test_frames_that_it_stored_after_its_last_report_are_not_lost() -> None:
    assert after(130, 120).lost("a", 1150) == 20
    earlier = after()
    assert earlier.take_last_message("a", last_message(EARLIER, 150))
    assert earlier.lost("a", 1150) == 0


def test_nothing_is_known_before_the_hub_was_asked_and_a_frame_has_come() -> None:
    earlier = after(looked_up=False)
    assert earlier.lost("a", 1150) == 0
    earlier.take_last_message("b", None)
    assert earlier.lost("a", None) == 0
    assert earlier.lost("a", 1150) == 50


def test_forwarder_that_ends_before_it_has_seen_the_hub_counts_with_what_it_knows() -> None:
    earlier = after(120, looked_up=False)
    earlier.settle()
    assert earlier.lost("a", 1150) == 30


def test_what_a_forwarder_in_between_stored_and_counted_is_not_lost_again() -> None:
    """It was killed before it had reported anything."""
    between = "1" * 16
    earlier = after(130, looked_up=False)
    earlier.spools = ["2" * 16, EARLIER, between, SPOOL]
    earlier.take_stored("2" * 16, "a", 5000)
    head = last_message(between, 60)
    earlier.take_last_message("a", head._replace(lost=head.lost._replace(unknown=20)))
    assert earlier.lost("a", 1300) == 200 - 30 - 60 - 20


def test_last_message_of_this_start_says_nothing_about_earlier_ones() -> None:
    earlier = after()
    assert not earlier.take_last_message("a", last_message(SPOOL, 500))
    assert earlier.lost("a", 1150) == 50


def test_frames_are_never_lost_below_zero() -> None:
    assert after(130, 120).lost("a", 1125) == 0, "more was stored than this forwarder can know of"
    assert after().lost("a", 1100) == 0
