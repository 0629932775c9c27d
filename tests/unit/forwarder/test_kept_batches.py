"""Acknowledged batches that are kept, and returned to be sent again as they were sent."""

from __future__ import annotations

from cancorderd.forwarder.kept_batches import KeptBatches
from tests.unit.forwarder.batches import batch


def test_lost_batches_are_returned_in_order_as_they_were() -> None:
    kept = KeptBatches(10_000)
    sent = [batch(number, bus="powertrain") for number in (1, 2, 3)]
    for entry in sent:
        entry.spool_lost = 7
        kept.add(entry)
    again = kept.take_lost(lambda entry: entry.head.batch.number <= 1)
    assert [entry.head for entry in again] == [entry.head for entry in sent[1:]]
    assert [(entry.order, entry.bus, entry.body, entry.created, entry.position) for entry in again] == [
        (entry.order, entry.bus, entry.body, entry.created, entry.position) for entry in sent[1:]
    ]
    assert all(entry.acknowledged and entry.spool_lost == 7 for entry in again)
    assert kept.take_lost(lambda _: False)[0].head.batch.number == 1


def test_oldest_are_forgotten_beyond_the_limit() -> None:
    kept = KeptBatches(1000)
    for number in range(1, 11):
        kept.add(batch(number))
    assert kept.since == batch(7).created
    assert [entry.head.batch.number for entry in kept.take_lost(lambda _: False)] == [7, 8, 9, 10]
    assert kept.since is None


def test_blocks_of_many_batches_are_read_back() -> None:
    kept = KeptBatches(1_000_000)
    sent = [batch(number, size=number % 700) for number in range(1, 1001)]
    for entry in sent:
        kept.add(entry)
    again = kept.take_lost(lambda entry: entry.head.batch.number <= 300)
    assert [(entry.order, entry.body) for entry in again] == [
        (entry.order, entry.body) for entry in sent[300:]
    ]
    for entry in again:
        kept.add(entry)
    assert kept.since == sent[0].created
    assert len(kept.take_lost(lambda _: False)) == 1000


def test_nothing_is_kept_without_a_limit() -> None:
    kept = KeptBatches(0)
    kept.add(batch(1))
    assert kept.since is None
