"""Whole packets from a worker's stream, and the frames that its marks show to be missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.forwarder.feed_cut import FeedCutter
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet


def frame(number: int) -> bytes:
    """Return a packet of one of several lengths."""
    return packet(1000 + number, 0x123, 0, bytes(number % 9))


def batch(position: int, count: int) -> bytes:
    """Return the frames from `position` on, behind their mark."""
    packets = b"".join(frame(position + number) for number in range(count))
    return feed_mark(position, len(packets), count) + packets


def stream(*parts: int) -> bytes:
    """Return batches of these numbers of frames."""
    return b"".join(batch(sum(parts[:number]), count) for number, count in enumerate(parts))


def test_packets_without_marks_are_the_body() -> None:
    cutter = FeedCutter()
    cut = cutter.cut(stream(2, 1))
    assert cut.body == frame(0) + frame(1) + frame(2)
    assert (cut.frames, cut.first_us, cut.last_us, cut.size) == (3, 1000, 1002, len(stream(2, 1)))
    assert (cutter.position, cutter.begin, cutter.lost) == (3, 0, 0)


@given(st.lists(st.integers(1, 5), min_size=1), st.lists(st.integers(1, 60)))
def test_any_split_gives_the_same_packets(parts: list[int], sizes: list[int]) -> None:
    data = stream(*parts)
    cutter, found, at, end, stamp = FeedCutter(), b"", 0, 0, 1000
    for size in [*sizes, len(data)]:
        end = min(len(data), end + size)
        cut = cutter.cut(data[at:end])
        if cut.frames:
            assert (cut.first_us, cut.last_us) == (stamp, stamp + cut.frames - 1)
            stamp += cut.frames
        found += cut.body
        at += cut.size
    assert found == b"".join(frame(number) for number in range(sum(parts)))
    assert (cutter.position, cutter.begin, cutter.lost) == (sum(parts), 0, 0)


def test_incomplete_packet_stays() -> None:
    cut = FeedCutter().cut(frame(0)[:-1])
    assert (cut.size, cut.body, cut.frames) == (0, b"", 0)


def test_jump_between_marks_is_lost() -> None:
    cutter = FeedCutter()
    cutter.cut(batch(0, 1) + batch(6, 1))
    assert (cutter.lost, cutter.position) == (5, 7)


def test_successor_of_a_killed_worker_may_count_from_less() -> None:
    cutter = FeedCutter()
    cutter.cut(batch(0, 2) + batch(1, 1))
    assert (cutter.lost, cutter.position) == (0, 2)


def test_reader_that_begins_within_a_batch_knows_where_it_began() -> None:
    cutter = FeedCutter()
    cutter.cut(frame(3) + frame(4))
    assert (cutter.position, cutter.begin) == (None, None)
    cutter.cut(frame(5) + batch(6, 1))
    assert (cutter.begin, cutter.position) == (3, 7)


@given(st.integers(0, 1 << 20), st.integers(0, 9), st.binary(max_size=60))
def test_mark_that_lies_ends_nothing(size: int, count: int, data: bytes) -> None:
    cutter = FeedCutter()
    cut = cutter.cut(batch(0, 2) + feed_mark(2, size, count) + data)
    assert cut.frames >= 2
    assert cut.body.startswith(frame(0) + frame(1))


def test_batch_of_which_a_part_has_arrived_is_taken_packet_by_packet() -> None:
    cutter, data = FeedCutter(), batch(0, 5)
    cut = cutter.cut(data[:-1])
    assert (cut.body, cut.frames, cut.last_us) == (b"".join(map(frame, range(4))), 4, 1003)
    cut = cutter.cut(data[cut.size :] + batch(5, 2))
    assert (cut.body, cut.frames, cut.first_us, cut.last_us) == (
        b"".join(map(frame, range(4, 7))),
        3,
        1004,
        1006,
    )
    assert (cutter.position, cutter.begin, cutter.lost) == (7, 0, 0)


def test_whole_batches_are_not_looked_at() -> None:
    """But for the last one, whose last frame has the time stamp of the header."""
    opaque = b"\xff" * 900
    cut = FeedCutter().cut(feed_mark(0, len(opaque), 60) + opaque + batch(60, 3))
    assert (cut.frames, cut.last_us, cut.body[:900]) == (63, 1062, opaque)
