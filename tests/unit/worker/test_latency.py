"""The latency of batches, counted in buckets."""

from __future__ import annotations

from cancorderd.ipc.messages import LATENCY_BOUNDS_S, Latency
from cancorderd.worker.latency import LatencyCounter


def test_each_batch_is_in_the_first_bucket_that_holds_it() -> None:
    counter = LatencyCounter(None)
    for seconds in (0.0, 1.0, 2.0, 2.5, 99.0):
        counter.add(seconds, (1.0, 2.0))
    assert counter.total().counts[:3] == [2, 1, 2]


def test_twelve_buckets_in_ascending_order() -> None:
    assert len(LatencyCounter(None).total().counts) == len(LATENCY_BOUNDS_S) + 1 == 12
    assert sorted(set(LATENCY_BOUNDS_S)) == list(LATENCY_BOUNDS_S)


def test_goes_on_from_earlier_workers_and_leaves_their_counts() -> None:
    earlier = Latency([1] * 12, 0.5)
    counter = LatencyCounter(earlier)
    counter.add(1.0)
    assert counter.total() == Latency([1] * 11 + [2], 1.5)
    assert earlier.counts == [1] * 12
