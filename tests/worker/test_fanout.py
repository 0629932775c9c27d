from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.frame import Batch, Frame
from cancorderd.wire import HEADER, PacketDecoder, encode_all
from cancorderd.worker.fanout import CHUNK_BYTES, Backlog


def batch(first: int, count: int, size: int = 8) -> Batch:
    frames = [Frame(0, 1, 0, number.to_bytes(8)[:size]) for number in range(first, first + count)]
    return Batch(encode_all(frames), count)


def drain(backlog: Backlog) -> bytes:
    out = b""
    while backlog.size:
        with backlog.next_bytes() as view:
            out += bytes(view)
            count = len(view)
        backlog.paid(count)
    return out


def numbers(stream: bytes) -> list[int]:
    decoder = PacketDecoder()
    decoder.receive(stream)
    found = [int.from_bytes(frame.data) for frame in decoder.frames()]
    assert decoder.pending == 0
    return found


def test_what_is_owed_goes_out_in_order() -> None:
    backlog = Backlog(1 << 20)
    for first in range(0, 100, 10):
        assert backlog.owe(batch(first, 10)) == 0
    assert numbers(drain(backlog)) == list(range(100))
    assert (backlog.frames_sent, backlog.frames_dropped, backlog.size) == (100, 0, 0)


def test_rest_of_a_batch_that_was_sent_in_part_comes_first() -> None:
    backlog = Backlog(1 << 20)
    whole = batch(0, 5)
    backlog.owe(whole, sent=30)
    backlog.owe(batch(5, 5))
    assert whole.packets[:30] + drain(backlog) == whole.packets + batch(5, 5).packets
    assert backlog.frames_sent == 10


def test_past_the_limit_the_oldest_whole_packets_are_dropped() -> None:
    backlog = Backlog(4 * CHUNK_BYTES)
    for number in range(20_000):
        backlog.owe(batch(number, 1))
        assert backlog.size <= 4 * CHUNK_BYTES
    found = numbers(drain(backlog))
    assert found == list(range(20_000 - len(found), 20_000)), "the newest, without a gap"
    assert backlog.frames_dropped == 20_000 - len(found)
    assert backlog.frames_sent == len(found)


def test_packet_that_the_client_has_in_part_is_never_dropped() -> None:
    backlog = Backlog(2 * CHUNK_BYTES)
    first = batch(0, 100)
    backlog.owe(first, sent=5)
    for number in range(100, 20_000):
        backlog.owe(batch(number, 1))
    stream = first.packets[:5] + drain(backlog)
    assert numbers(stream)[:100] == list(range(100))
    assert backlog.frames_dropped > 0


def test_batch_larger_than_the_limit_is_dropped_and_counted() -> None:
    backlog = Backlog(1000)
    assert backlog.owe(batch(0, 100)) == 100
    assert (backlog.size, backlog.frames_dropped) == (0, 100)


def test_hand_over_between_two_backlogs_keeps_the_stream_whole() -> None:
    first = Backlog(1 << 20)
    sent = batch(0, 10)
    first.owe(sent, sent=17)
    first.owe(batch(10, 10))
    owed, frames = first.hand_over()
    second = Backlog(1 << 20)
    second.take_over(owed, frames)
    second.owe(batch(20, 10))
    assert numbers(sent.packets[:17] + drain(second)) == list(range(30))
    assert (frames, second.frames_sent) == (20, 30)


def test_handed_over_beginning_is_not_dropped_since_it_may_be_amid_a_packet() -> None:
    backlog = Backlog(CHUNK_BYTES)
    rest = batch(0, 50).packets[7:]
    backlog.take_over(rest, 50)
    for number in range(50, 10_000):
        backlog.owe(batch(number, 1))
    with backlog.next_bytes() as view:
        assert bytes(view[: len(rest)]) == rest


@given(
    st.lists(st.tuples(st.sampled_from(["owe", "pay"]), st.integers(1, 3000)), max_size=60),
    st.integers(1, 6),
)
def test_any_order_of_events_leaves_whole_packets_in_order(
    events: list[tuple[str, int]], limit_chunks: int
) -> None:
    backlog = Backlog(limit_chunks * 1000)
    stream = b""
    number = 0
    for kind, amount in events:
        if kind == "owe":
            count = amount % 50 + 1
            backlog.owe(batch(number, count))
            number += count
        elif backlog.size:
            with backlog.next_bytes() as view:
                taken = bytes(view[:amount])
            backlog.paid(len(taken))
            stream += taken
        assert backlog.size <= limit_chunks * 1000
    stream += drain(backlog)
    found = numbers(stream)
    assert found == sorted(set(found))
    assert len(found) + backlog.frames_dropped == number
    assert len(found) == backlog.frames_sent == len(stream) // (HEADER.size + 8)
