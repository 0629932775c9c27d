"""The rate of a bus from two of its messages."""

from __future__ import annotations

from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.hub.overview import rate


def head(before: int, frames: int, first_s: float, last_s: float, spool: str = "0" * 16) -> BatchHead:
    return BatchHead(BatchId(spool, 1), frames, before, int(first_s * 1e6), int(last_s * 1e6))


def test_rate_is_the_mean_from_the_first_frame_of_the_earlier_message() -> None:
    assert round(rate(head(0, 100, 0, 1), head(900, 100, 9, 10))) == 100


def test_rate_of_the_only_message_or_after_another_spool_id() -> None:
    last = head(900, 100, 9, 10)
    assert round(rate(None, last)) == round(rate(head(0, 5, 0, 1, "1" * 16), last)) == 100


def test_rate_of_a_single_frame_is_unknown() -> None:
    assert rate(None, head(0, 1, 5, 5)) == 0
