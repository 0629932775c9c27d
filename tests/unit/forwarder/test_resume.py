"""Where sending goes on, by the last message of the stream."""

from __future__ import annotations

import pytest

from cancorderd.forwarder.resume import (
    FOREIGN_AGAIN_S,
    FOREIGN_WAIT_S,
    Foreign,
    ForeignWatch,
    GoOn,
    Mark,
    Own,
    StreamState,
    Verdict,
    resume,
)
from cancorderd.hub.headers import BatchId
from tests.unit.forwarder.batches import EARLIER, SPOOL

SPOOLS = [EARLIER, SPOOL]
EMPTY = StreamState(0, "t0", None, empty=True)


def state(spool: str, number: int, sequence: int = 100, created: str = "t0") -> StreamState:
    return StreamState(sequence, created, BatchId(spool, number))


def decided(found: StreamState, own: Own) -> tuple[Mark | None, bool, bool]:
    decision = resume(found, own)
    assert isinstance(decision, GoOn)
    assert bool(decision.told) == decision.new_epoch
    return decision.behind, decision.new_epoch, decision.again


@pytest.mark.parametrize(
    ("found", "own", "expected"),
    [
        pytest.param(EMPTY, Own(SPOOLS), (None, False, False), id="a new stream"),
        pytest.param(
            state(EARLIER, 7), Own(SPOOLS), (Mark(0, 7), False, False), id="an earlier start's batch"
        ),
        pytest.param(
            state(SPOOL, 7),
            Own(SPOOLS, Mark(1, 5), 95, "t0"),
            (Mark(1, 7), False, False),
            id="more than was acknowledged",
        ),
        pytest.param(
            state(SPOOL, 7),
            Own(SPOOLS, Mark(1, 7), 100, "t0"),
            (Mark(1, 7), False, False),
            id="what was acknowledged",
        ),
        pytest.param(
            state(SPOOL, 7, 90),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (Mark(1, 7), True, True),
            id="a hub that lost its last",
        ),
        pytest.param(
            state(EARLIER, 7, 90),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (Mark(0, 7), True, True),
            id="a hub that lost all of ours",
        ),
        pytest.param(
            state(EARLIER, 7, 90),
            Own(SPOOLS, Mark(0, 9), 95, "t0"),
            (Mark(0, 7), True, True),
            id="a hub that lost the last of an earlier start",
        ),
        pytest.param(
            StreamState(95, "t0", None, empty=True),
            Own(SPOOLS, Mark(0, 9), 95, "t0"),
            (None, True, False),
            id="purged while an earlier start's were sent",
        ),
        pytest.param(
            StreamState(95, "t0", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (None, True, False),
            id="purged",
        ),
        pytest.param(
            StreamState(0, "t0", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (None, True, True),
            id="a hub that lost everything",
        ),
        pytest.param(
            StreamState(0, "t1", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (None, True, False),
            id="made again",
        ),
        pytest.param(
            StreamState(0, "t1", None, empty=True),
            Own(SPOOLS, None, 0, "t0"),
            (None, True, False),
            id="made again before",
        ),
        pytest.param(
            StreamState(0, "t0", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 95, "t0"),
            (None, True, True),
            id="a hub that lost everything",
        ),
        pytest.param(
            StreamState(95, "t0", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 95, "t0", empty=True),
            (None, False, False),
            id="purged, and nothing was stored since",
        ),
        pytest.param(
            StreamState(0, "t2", None, empty=True),
            Own(SPOOLS, Mark(1, 9), 0, "t1", empty=True),
            (None, True, False),
            id="made again, and again",
        ),
        pytest.param(
            state(SPOOL, 7),
            Own(SPOOLS, Mark(1, 5), 95, "t0", made=7),
            (Mark(1, 7), False, False),
            id="the last one made",
        ),
    ],
)
def test_own_streams(found: StreamState, own: Own, expected: tuple[Mark | None, bool, bool]) -> None:
    assert decided(found, own) == expected


@pytest.mark.parametrize("last", [BatchId("0" * 16, 3), None])
def test_other_batches_and_other_messages_are_foreign(last: BatchId | None) -> None:
    assert resume(StreamState(5, "t0", last), Own(SPOOLS)) == Foreign(last)


def test_batch_of_ours_that_was_never_made_is_foreign() -> None:
    """If it were taken for ours, all batches up to this number would count as stored."""
    last = BatchId(SPOOL, 999_999)
    assert resume(StreamState(100, "t0", last), Own(SPOOLS, Mark(1, 5), 95, "t0", made=7)) == Foreign(last)


def test_foreign_stream_that_stands_still_is_taken_over() -> None:
    watch = ForeignWatch()
    assert watch.look(7, 100.0) is Verdict.WAIT
    assert watch.look(7, 99.9 + FOREIGN_WAIT_S) is Verdict.WAIT
    assert watch.look(7, 100.0 + FOREIGN_WAIT_S) is Verdict.TAKE_OVER


def test_stream_that_was_empty_and_moves_belongs_to_another_gateway() -> None:
    watch = ForeignWatch()
    assert watch.look(0, 100.0) is Verdict.WAIT
    assert watch.look(1, 101.0) is Verdict.ANOTHER_GATEWAY


def test_foreign_stream_that_moves_belongs_to_another_gateway_until_it_stands_still_for_long() -> None:
    watch = ForeignWatch()
    watch.look(7, 100.0)
    assert watch.look(8, 110.0) is Verdict.ANOTHER_GATEWAY
    assert watch.look(8, 110.0 + FOREIGN_WAIT_S) is Verdict.ANOTHER_GATEWAY
    assert watch.look(9, 150.0) is Verdict.ANOTHER_GATEWAY
    assert watch.look(9, 150.0 + FOREIGN_AGAIN_S) is Verdict.TAKE_OVER


def test_watch_begins_anew() -> None:
    watch = ForeignWatch()
    watch.look(7, 100.0)
    watch.look(8, 101.0)
    watch.forget()
    assert watch.look(9, 102.0) is Verdict.WAIT
