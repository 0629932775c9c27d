"""The judge of test streams: what was done to a stream is what is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.client.stream_judge import Judge, Judgement, Stream
from cancorderd.protocol.frame import BRS, EXTENDED, FD, Frame
from cancorderd.protocol.quality_frame import classic_payload, fd_payload

STEP_US = 1_000


def quality(
    sequence: int,
    *,
    fd: bool = False,
    test_id: int = 1,
    can_id: int = 0x700,
    late_us: int = 0,
    response: bool = False,
) -> Frame:
    sender_us = sequence % (1 << 40) * STEP_US
    data = (
        fd_payload(sequence, sender_us, test_id, 64, response=response)
        if fd
        else classic_payload(sequence, sender_us, test_id)
    )
    return Frame(5_000_000 + sender_us + late_us, can_id, FD | BRS if fd else 0, data)


def numbered(number: int, length: int = 8, can_id: int = 0x100) -> Frame:
    width = min(8, length)
    data = (number % 256**width).to_bytes(width) + bytes(range(width, length))
    return Frame(number, can_id, FD if length > 8 else 0, data)


def judged(frames: Iterable[Frame], **keys: int) -> Judgement:
    judge = Judge(**keys)
    for frame in frames:
        judge.observe(frame)
    return judge.judgement()


def figures(judgement: Judgement) -> tuple[int, int, int, int, int]:
    tally = judgement.tally
    return tally.received, tally.missing, tally.duplicated, tally.reordered, judgement.corrupt


KINDS = [pytest.param(False, id="classic"), pytest.param(True, id="FD")]
MAKERS: dict[str, Callable[[int], Frame]] = {
    "classic": lambda n: quality(n),
    "FD": lambda n: quality(n, fd=True),
    "numbered": lambda n: numbered(n),
    "numbered, 3 bytes": lambda n: numbered(n, 3),
    "numbered, 64 bytes": lambda n: numbered(n, 64),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("start", [0, 1_000, 65_530, (1 << 24) - 5, (1 << 64) - 5])
def test_a_whole_stream_is_all_right_from_any_base_and_over_the_wrap(kind: str, start: int) -> None:
    judgement = judged(MAKERS[kind](start + n) for n in range(300))
    assert figures(judgement) == (300, 0, 0, 0, 0)
    assert judgement.all_right


# Sequences as they arrive, and: received, missing, duplicated, reordered.
DISORDER = {
    "gap": ([0, 1, 2, 6, 7, 8], (6, 3, 0, 0)),
    "two gaps": ([0, 2, 3, 5, 6, 7], (6, 2, 0, 0)),
    "duplicate": ([0, 1, 1, 1, 2, 3], (6, 0, 2, 0)),
    "swap": ([0, 1, 3, 2, 4, 5], (6, 1, 0, 1)),
    "late": ([0, 1, 2, 4, 5, 6, 3, 7], (8, 1, 0, 1)),
    "restart": ([100, 101, 102, 103, 0, 104], (6, 0, 0, 1)),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("case", DISORDER)
def test_disorder_is_counted(kind: str, case: str) -> None:
    sequences, expected = DISORDER[case]
    judgement = judged(map(MAKERS[kind], sequences))
    assert figures(judgement) == (*expected, 0)
    assert not judgement.all_right


@pytest.mark.parametrize(("fd", "half"), [(False, 1 << 15), (True, 1 << 63)])
def test_half_of_the_range_is_where_ahead_ends(fd: bool, half: int) -> None:
    ahead = judged([quality(0, fd=fd), quality(half - 1, fd=fd)])
    assert figures(ahead) == (2, half - 2, 0, 0, 0)
    behind = judged([quality(0, fd=fd), quality(half, fd=fd)])
    assert figures(behind) == (2, 0, 0, 1, 0)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["pass", "lose", "double"]), min_size=2, max_size=60),
    st.sampled_from(list(MAKERS)),
)
def test_losses_and_doubles_are_counted_exactly(fates: list[str], kind: str) -> None:
    frames: list[Frame] = []
    lost = doubled = pending = 0
    for number, fate in enumerate(["pass", "pass", "pass", *fates, "pass"]):
        frame = MAKERS[kind](number)
        if fate == "lose":
            pending += 1
            continue
        lost, pending = lost + pending, 0
        frames += [frame, frame] if fate == "double" else [frame]
        doubled += fate == "double"
    judgement = judged(frames)
    assert figures(judgement) == (len(frames), lost, doubled, 0, 0)


@pytest.mark.parametrize("fd", KINDS)
def test_corrupt_frames_are_counted_and_their_sequence_is_missing(fd: bool) -> None:
    frames = [quality(n, fd=fd) for n in range(10)]
    damaged = bytearray(frames[4].data)
    damaged[3] ^= 1
    frames[4] = frames[4]._replace(data=bytes(damaged))
    judgement = judged(frames)
    assert figures(judgement) == (9, 1, 0, 0, 1)
    assert not judgement.all_right


@pytest.mark.parametrize(
    "other",
    [
        Frame(1, 0x700, 0, bytes(8)),
        Frame(1, 0x700, 0, b""),
        Frame(1, 0x700, 0, b"\xca\xfe"),
        Frame(1, 0x700, FD, classic_payload(3, 3, 1)),
        Frame(1, 0x700, FD, b"\xca\xfd" + bytes(10)),
    ],
)
@pytest.mark.parametrize("keys", [{}, {"arbitration_id": 0x700}])
def test_any_other_frame_on_the_id_under_test_is_corrupt(other: Frame, keys: dict[str, int]) -> None:
    assert figures(judged([other, *map(quality, range(5)), other], **keys)) == (5, 0, 0, 0, 2)


def test_frames_on_other_ids_are_ignored_but_those_with_the_magic_are_judged() -> None:
    others = [Frame(1, 0x123, 0, bytes([n])) for n in range(50)] + [numbered(n) for n in range(50)]
    assert figures(judged([*others, *map(quality, range(5))])) == (5, 0, 0, 0, 0)
    broken = Frame(1, 0x7FF, 0, b"\xca\xfe" + bytes(6))
    assert figures(judged([broken, *map(quality, range(5))])) == (5, 0, 0, 0, 1)
    assert figures(judged([broken, *map(quality, range(5))], arbitration_id=0x700)) == (5, 0, 0, 0, 0)


def test_streams_of_different_id_test_format_and_direction_are_judged_on_their_own() -> None:
    makers: list[Callable[[int], Frame]] = [
        lambda n: quality(n),
        lambda n: quality(n + 50, test_id=2),
        lambda n: quality(n + 70, can_id=0x701),
        lambda n: quality(n + 90, fd=True),
        lambda n: quality(n + 10, fd=True, response=True),
        lambda n: quality(n + 30)._replace(flags=EXTENDED),
    ]
    judgement = judged(make(n) for n in range(20) for make in makers)
    assert figures(judgement) == (120, 0, 0, 0, 0)
    assert set(judgement.streams) == {
        Stream(0x700, False, "classic", 1),
        Stream(0x700, False, "classic", 2),
        Stream(0x701, False, "classic", 1),
        Stream(0x700, False, "FD", 1),
        Stream(0x700, False, "FD", 1, True),
        Stream(0x700, True, "classic", 1),
    }


def test_frames_of_other_tests_are_ignored() -> None:
    frames = [frame for n in range(10) for frame in (quality(n), quality(3 * n, test_id=2))]
    assert figures(judged(frames, test_id=1)) == (10, 0, 0, 0, 0)
    assert not judged(frames, test_id=9).all_right


def test_no_frame_at_all_is_not_all_right() -> None:
    assert not judged([]).all_right
    assert not judged([quality(n) for n in range(5)], arbitration_id=0x701).all_right


# Numbered frames among others.
def test_numbered_frames_are_found_by_themselves_if_there_is_no_quality_test() -> None:
    rng = random.Random(1)
    noise = [Frame(1, 0x200 + n % 5, 0, rng.randbytes(8)) for n in range(100)]
    constant = [Frame(1, 0x300, 0, b"same")] * 100
    frames = [
        frame for group in zip(noise, constant, map(numbered, range(100)), strict=True) for frame in group
    ]
    judgement = judged(frames)
    assert figures(judgement) == (100, 0, 0, 0, 0)
    assert list(judgement.streams) == [Stream(0x100, False, "numbered")]


def test_half_of_the_numbered_frames_may_be_missing() -> None:
    assert figures(judged(map(numbered, range(0, 100, 2)))) == (50, 49, 0, 0, 0)


@pytest.mark.parametrize("keys", [{}, {"arbitration_id": 0x100}])
def test_a_numbered_frame_with_another_rest_or_length_is_corrupt(keys: dict[str, int]) -> None:
    frames = [numbered(n, 12) for n in range(10)]
    frames[3] = frames[3]._replace(data=frames[3].data[:-1] + b"x")
    frames[6] = numbered(6, 16)
    assert figures(judged(frames, **keys)) == (8, 2, 0, 0, 2)


def test_a_number_may_look_like_the_magic() -> None:
    start = 0xCAFE - 10
    assert figures(judged(numbered(n, 2) for n in range(start, start + 20))) == (20, 0, 0, 0, 0)


def test_frames_without_any_number_on_the_id_under_test_are_corrupt() -> None:
    rng = random.Random(1)
    frames = [Frame(1, 0x100, 0, rng.randbytes(8)) for _ in range(20)]
    judgement = judged(frames, arbitration_id=0x100)
    assert figures(judgement) == (0, 0, 0, 0, 20)
    assert not judgement.all_right


def test_the_number_of_judged_frames_grows_with_each() -> None:
    for keys in ({}, {"arbitration_id": 0x700}):
        judge = Judge(**keys)
        for count in range(1, 20):
            judge.observe(quality(count))
            judge.observe(Frame(1, 0x123, 0, b"other"))
            assert judge.judged == count
        judge.observe(Frame(1, 0x700, 0, b"\xca\xfe" + bytes(6)))
        assert judge.judged == 20
    judge = Judge()
    for number in range(10):
        judge.observe(numbered(number))
    assert judge.judged == 10


# Times.
@pytest.mark.parametrize("fd", KINDS)
def test_jitter_is_the_difference_of_the_intervals(fd: bool) -> None:
    late = [0, 0, 300, 300, 0]
    judgement = judged(quality(n, fd=fd, late_us=us) for n, us in enumerate(late))
    assert [judgement.jitter.quantile(share) for share in (0.5, 1.0)] == [0, 300]
    assert len(judgement.jitter) == 4


def test_the_senders_clock_may_wrap_and_pause_for_minutes() -> None:
    pause = Frame(205_000_000, 0x700, 0, classic_payload(120_001, 200_000_000, 1))
    judgement = judged(
        [quality(0), quality(30_000), quality(60_000), quality(90_000), quality(120_000), pause]
    )
    assert (len(judgement.jitter), judgement.jitter.highest) == (5, 0)


def test_duplicates_and_reordered_frames_have_no_jitter() -> None:
    judgement = judged(
        [quality(0), quality(2), quality(2, late_us=9_999), quality(1, late_us=9_999), quality(3)]
    )
    assert judgement.jitter.highest == 0
    assert len(judgement.jitter) == 2


def test_round_trips_pair_responses_with_their_requests() -> None:
    frames: list[Frame] = []
    for number in range(10):
        request = quality(number, fd=True)
        frames.append(request)
        if number != 9:
            answer = quality(number, fd=True, can_id=0x701, response=True)
            frames.append(answer._replace(timestamp_us=request.timestamp_us + 250 + number))
    judgement = judged(frames, arbitration_id=0x700, response_id=0x701)
    assert judgement.all_right
    assert (len(judgement.round_trips), judgement.unanswered) == (9, 1)
    assert (judgement.round_trips.quantile(0.5), judgement.round_trips.highest) == (254, 258)


def test_without_any_response_a_round_trip_test_is_not_all_right() -> None:
    judgement = judged(map(quality, range(5)), arbitration_id=0x700, response_id=0x701)
    assert not judgement.all_right
    assert judgement.unanswered == 5


def test_memory_is_bounded_by_ids_and_requests() -> None:
    judge = Judge()
    for number in range(6_000):
        judge.observe(Frame(1, number, EXTENDED, bytes(8)))
        judge.observe(quality(1, can_id=number)._replace(flags=EXTENDED))
    assert len(judge.judgement().streams) == 4_096
    judge = Judge(0x700, 0x701)
    for number in range(70_000):
        judge.observe(numbered(number, can_id=0x700))
    for number in range(0, 3_000_000, 40):
        judge._pair((1, number), quality(0), answers=False)
    assert len(judge._requests) == 65_536
    assert judge.judgement().unanswered == 75_000
