"""The memory of messages that were read: every recent one, some of the earlier ones, a bounded number."""

from __future__ import annotations

from cancorderd.adapters.nats.history import History, Place
from cancorderd.hub.headers import BatchId

SPOOL = "00000000000000a1"


def test_places_are_in_order_with_each_of_the_recent_ones() -> None:
    history = History()
    for number in range(1, 10_001):
        history.add(2 * number, BatchId(SPOOL, number))
    places = history.places()
    assert places == sorted(places)
    assert places[-200:] == [Place(2 * number, BatchId(SPOOL, number)) for number in range(9801, 10_001)]
    assert 256 + 9000 // 32 < len(places) < 256 + 10_000 // 32


def test_memory_is_bounded() -> None:
    history = History()
    for number in range(200_000):
        history.add(number, BatchId(SPOOL, number))
    assert len(history.places()) == 4096 + 256
    assert history.places()[0].sequence > 0


def test_forgets_what_the_stream_does_not_hold_any_more() -> None:
    history = History()
    for number in range(1000):
        history.add(number, BatchId(SPOOL, number))
    history.forget_after(500)
    assert history.places()[-1].sequence <= 500
    history.add(501, BatchId(SPOOL, 501))
    assert history.places()[-1] == Place(501, BatchId(SPOOL, 501))
