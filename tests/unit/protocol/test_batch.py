"""Batches: packets for clients, and the same with remote and error frames for readers inside the machine."""

from __future__ import annotations

from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of, joined

PLAIN = Batch(b"ab", 2)
MIXED = Batch(b"ac", 2, b"abc", 1)
"""Of three packets, the second is internal."""
INTERNAL = Batch(b"", 0, b"x", 1)


def test_batch_of_packets() -> None:
    assert batch_of([]) == batch_of([], []) == EMPTY_BATCH
    assert batch_of([b"a", b"b"]) == PLAIN
    assert batch_of([b"a", b"b", b"c"], [1]) == MIXED
    assert batch_of([b"x"], [0]) == INTERNAL
    assert batch_of([b"a", b"b", b"c"], [1, 1]) == MIXED, "a position counts once"


def test_clients_get_data_frames_and_readers_inside_get_all() -> None:
    assert (PLAIN.external(), PLAIN.whole()) == (PLAIN, PLAIN)
    assert MIXED.external() == Batch(b"ac", 2)
    assert MIXED.whole() == Batch(b"abc", 2, b"", 1)
    assert INTERNAL.external() == EMPTY_BATCH


def test_several_batches_are_one_in_their_order() -> None:
    assert joined([]) == EMPTY_BATCH
    assert joined([PLAIN, PLAIN]) == Batch(b"abab", 4)
    assert joined([PLAIN, MIXED, INTERNAL, PLAIN]) == Batch(b"abacab", 6, b"ababcxab", 2)
