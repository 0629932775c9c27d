from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from cancorderd.worker.backlog import CHUNK_BYTES, Backlog
from tests.unit.worker.streams import PACKET_BYTES, batch, numbers


def send(backlog: Backlog, most: int) -> bytes:
    """Send up to `most` bytes of the next chunk; returns them."""
    with backlog.next_bytes() as view:
        data = bytes(view[:most])
    backlog.mark_sent(len(data))
    return data


def send_all(backlog: Backlog) -> bytes:
    data = b""
    while backlog.size:
        data += send(backlog, CHUNK_BYTES)
    return data


def test_batches_are_sent_in_order() -> None:
    backlog = Backlog(1 << 20)
    for first in range(0, 100, 10):
        assert backlog.enqueue(batch(first, 10)) == 0
    assert numbers(send_all(backlog)) == list(range(100))
    assert (backlog.frames_sent, backlog.frames_dropped, backlog.size) == (100, 0, 0)
    assert backlog.bytes_sent == 100 * PACKET_BYTES


def test_rest_of_a_batch_that_was_sent_in_part_comes_first() -> None:
    backlog = Backlog(1 << 20)
    first = batch(0, 5)
    backlog.enqueue(first, sent=30)
    backlog.enqueue(batch(5, 5))
    assert first.packets[:30] + send_all(backlog) == first.packets + batch(5, 5).packets
    assert backlog.frames_sent == 10
    assert backlog.bytes_sent == 10 * PACKET_BYTES


def test_batches_are_joined_to_chunks_of_limited_size() -> None:
    backlog = Backlog(1 << 20)
    for first in range(0, 4000, 400):
        backlog.enqueue(batch(first, 400))
    sizes = []
    while backlog.size:
        sizes.append(len(send(backlog, 1 << 20)))
    assert max(sizes) == CHUNK_BYTES // (400 * PACKET_BYTES) * 400 * PACKET_BYTES


def test_oldest_whole_packets_are_dropped_beyond_the_limit() -> None:
    backlog = Backlog(4 * CHUNK_BYTES)
    for number in range(20_000):
        backlog.enqueue(batch(number, 1))
        assert backlog.size <= 4 * CHUNK_BYTES
    kept = numbers(send_all(backlog))
    assert kept == list(range(20_000 - len(kept), 20_000)), "the newest, without a gap"
    assert len(kept) * PACKET_BYTES >= 3 * CHUNK_BYTES
    assert backlog.frames_dropped == 20_000 - len(kept)
    assert backlog.frames_sent == len(kept)


def test_newest_are_kept_beside_a_chunk_that_was_sent_in_part() -> None:
    backlog = Backlog(4 * CHUNK_BYTES)
    first = batch(0, 100)
    backlog.enqueue(first, sent=5)
    for number in range(100, 20_000):
        backlog.enqueue(batch(number, 1))
    kept = numbers(first.packets[:5] + send_all(backlog))
    assert kept[:100] == list(range(100)), "a packet that the client has in part stays"
    count = 2 * CHUNK_BYTES // PACKET_BYTES
    assert kept[-count:] == list(range(20_000 - count, 20_000))
    assert backlog.frames_dropped == 20_000 - len(kept)


def test_new_batch_is_dropped_if_only_a_chunk_that_was_sent_in_part_could_make_room() -> None:
    backlog = Backlog(1000)
    backlog.enqueue(batch(0, 40))
    sent = send(backlog, 101)
    assert backlog.enqueue(batch(40, 20)) == 20
    assert numbers(sent + send_all(backlog)) == list(range(40))
    assert (backlog.frames_sent, backlog.frames_dropped, backlog.size) == (40, 20, 0)


def test_batch_larger_than_the_limit_is_dropped_and_counted() -> None:
    backlog = Backlog(1000)
    assert backlog.enqueue(batch(0, 100)) == 100
    assert (backlog.size, backlog.frames_dropped) == (0, 100)


def test_batch_that_was_sent_in_part_is_kept_even_beyond_the_limit() -> None:
    backlog = Backlog(1000)
    first = batch(0, 100)
    assert backlog.enqueue(first, sent=5) == 0
    assert numbers(first.packets[:5] + send_all(backlog)) == list(range(100))


def test_another_backlog_continues_the_stream_within_a_packet() -> None:
    first = Backlog(1 << 20)
    begun = batch(0, 10)
    first.enqueue(begun, sent=17)
    first.enqueue(batch(10, 10))
    unsent, frames = first.unsent()
    second = Backlog(1 << 20)
    second.restore(unsent, frames)
    second.enqueue(batch(20, 10))
    assert second.size == len(unsent) + 10 * PACKET_BYTES
    assert numbers(begun.packets[:17] + send_all(second)) == list(range(30))
    assert (frames, second.frames_sent) == (20, 30)


def test_restored_bytes_are_not_dropped_since_they_may_begin_within_a_packet() -> None:
    backlog = Backlog(CHUNK_BYTES)
    rest = batch(0, 50).packets[7:]
    backlog.restore(rest, 50)
    for number in range(50, 10_000):
        backlog.enqueue(batch(number, 1))
    with backlog.next_bytes() as view:
        assert bytes(view[: len(rest)]) == rest


@given(
    st.lists(st.tuples(st.sampled_from(["enqueue", "send"]), st.integers(1, 300)), max_size=60),
    st.integers(1, 6),
)
@example([("enqueue", 39), ("send", 101), ("enqueue", 19)], 1)
def test_stream_is_whole_packets_in_order_whatever_happens(
    events: list[tuple[str, int]], limit_kb: int
) -> None:
    backlog = Backlog(limit_kb * 1000)
    stream = b""
    number = 0
    for kind, amount in events:
        if kind == "enqueue":
            count = amount % 50 + 1
            backlog.enqueue(batch(number, count))
            number += count
        elif backlog.size:
            stream += send(backlog, amount)
        assert 0 <= backlog.size <= limit_kb * 1000
    stream += send_all(backlog)
    found = numbers(stream)
    assert found == sorted(set(found))
    assert len(found) + backlog.frames_dropped == number
    assert len(found) == backlog.frames_sent == len(stream) // PACKET_BYTES


def test_next_backlog_continues_in_the_same_chunks_within_a_packet() -> None:
    first = Backlog(1 << 20)
    begun = batch(0, 10)
    first.enqueue(begun, sent=17)
    for number in range(10, 5000):
        first.enqueue(batch(number, 1))
    size = first.size
    unsent, chunks = first.take()
    assert (first.size, first.take()) == (0, (b"", []))
    assert sum(chunk.size for chunk in chunks) == len(unsent) == size
    second = Backlog(1 << 20)
    second.restore(unsent, 5000, chunks)
    assert second.size == size
    dropped = second.drop_oldest()
    assert dropped > 0
    stream = begun.packets[:17] + send_all(second)
    kept = numbers(stream)
    assert kept[:10] == list(range(10)), "the chunk that the client has in part stays"
    assert kept[-1] == 4999
    assert len(kept) + dropped == 5000


def test_oldest_is_dropped_until_only_a_begun_chunk_is_left() -> None:
    backlog = Backlog(1 << 20)
    backlog.enqueue(batch(0, 3000))
    backlog.enqueue(batch(3000, 3000))
    send(backlog, 5)
    assert backlog.drop_oldest() == 3000
    assert backlog.drop_oldest() == 0
    assert backlog.frames_dropped == 3000
    assert backlog.size == 3000 * PACKET_BYTES - 5
