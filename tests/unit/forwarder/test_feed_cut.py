"""Whole packets from a worker's stream, and the frames that its marks show to be missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.forwarder.feed_cut import FeedCutter
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet


def frame(number: int, length: int = 8) -> bytes:
    return packet(1000 + number, 0x123, 0, bytes(length))


def stream(*parts: int) -> bytes:
    """Return batches of these numbers of frames, each behind its mark."""
    data, position = b"", 0
    for count in parts:
        data += feed_mark(position) + b"".join(frame(position + number) for number in range(count))
        position += count
    return data


def test_packets_without_marks_are_the_body() -> None:
    cutter = FeedCutter()
    cut = cutter.cut(stream(2, 1))
    assert cut.body == frame(0) + frame(1) + frame(2)
    assert (cut.frames, cut.first_us, cut.last_us, cut.size) == (3, 1000, 1002, len(stream(2, 1)))
    assert (cutter.position, cutter.begin, cutter.lost) == (3, 0, 0)


@given(st.lists(st.integers(1, 5), min_size=1), st.lists(st.integers(1, 60)))
def test_any_split_gives_the_same_packets(parts: list[int], sizes: list[int]) -> None:
    data = stream(*parts)
    cutter, found, at, end = FeedCutter(), b"", 0, 0
    for size in [*sizes, len(data)]:
        end = min(len(data), end + size)
        cut = cutter.cut(data[at:end])
        found += cut.body
        at += cut.size
    assert found == b"".join(frame(number) for number in range(sum(parts)))
    assert (cutter.position, cutter.begin, cutter.lost) == (sum(parts), 0, 0)


def test_incomplete_packet_stays() -> None:
    cut = FeedCutter().cut(frame(0)[:-1])
    assert (cut.size, cut.body, cut.frames) == (0, b"", 0)


def test_jump_between_marks_is_lost() -> None:
    cutter = FeedCutter()
    cutter.cut(feed_mark(0) + frame(0) + feed_mark(6) + frame(6))
    assert (cutter.lost, cutter.position) == (5, 7)


def test_successor_of_a_killed_worker_may_count_from_less() -> None:
    cutter = FeedCutter()
    cutter.cut(feed_mark(0) + frame(0) + frame(1) + feed_mark(1) + frame(1))
    assert (cutter.lost, cutter.position) == (0, 2)


def test_reader_that_begins_within_a_batch_knows_where_it_began() -> None:
    cutter = FeedCutter()
    cutter.cut(frame(3) + frame(4))
    assert (cutter.position, cutter.begin) == (None, None)
    cutter.cut(frame(5) + feed_mark(6) + frame(6))
    assert (cutter.begin, cutter.position) == (3, 7)
