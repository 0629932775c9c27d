"""The flood: consecutive numbers, time stamps at the rate, bursts, a limited count, bounded batches."""

from __future__ import annotations

import itertools
import math
import struct

import pytest

from cancorderd.protocol import quality_frame
from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from cancorderd.protocol.frame import BRS, EXTENDED, FD
from cancorderd.simulator.flood import ARBITRATION_ID, GATHER_S, MAX_BATCH_FRAMES, MAX_BEHIND_S, Flood
from cancorderd.simulator.flood_payloads import Numbered, Quality
from tests.unit.simulator.simulation_runs import frames_of

OFFSET_US = 1_700_000_000_000_000.0


def unpack(batch: Batch) -> list[tuple[int, int]]:
    """Return time stamps, relative to the offset, and numbers."""
    frames = frames_of(batch)
    assert {frame.arbitration_id for frame in frames} <= {ARBITRATION_ID}
    return [(frame.timestamp_us - int(OFFSET_US), *struct.unpack(">Q", frame.data)) for frame in frames]


def flow(rate: float, seconds: float, step_s: float | None = None) -> list[tuple[int, int]]:
    """Run a flood by calls at `due_s`, or every `step_s`."""
    flood, now_s = Flood(rate, 0, 50.0), 50.0
    received: list[tuple[int, int]] = []
    while True:
        now_s = max(now_s, flood.due_s()) if step_s is None else now_s + step_s
        if now_s > 50.0 + seconds:
            return received
        received += unpack(flood.advance(now_s + 1e-6, OFFSET_US))


@pytest.mark.parametrize("rate", [1, 10, 999, 9_009, 30_000])
@pytest.mark.parametrize("step_s", [None, 0.01])
def test_numbers_are_consecutive_and_time_stamps_keep_the_rate(rate: float, step_s: float | None) -> None:
    seconds = min(3.0, 10_000 / rate)
    received = flow(rate, seconds, step_s)
    assert len(received) == pytest.approx(seconds * rate, abs=max(2, rate * 0.011))
    stamps, numbers = zip(*received, strict=True)
    assert list(numbers) == list(range(len(received)))
    for number, stamp in enumerate(stamps, 1):
        assert stamp == pytest.approx(50e6 + number * 1e6 / rate, abs=2)


def test_a_batch_is_bounded_and_the_rest_is_due_at_once() -> None:
    flood = Flood(1_000_000, 0, 50.0)
    first = flood.advance(50.05, OFFSET_US)
    assert first.frames == MAX_BATCH_FRAMES
    assert flood.due_s() <= 50.05
    second = flood.advance(50.05, OFFSET_US)
    stamps, numbers = zip(*unpack(first), *unpack(second), strict=True)
    assert numbers == tuple(range(2 * MAX_BATCH_FRAMES))
    assert all(0 <= after - before <= 2 for before, after in itertools.pairwise(stamps))


def test_frames_that_a_slow_machine_missed_are_dropped() -> None:
    flood = Flood(100_000, 0, 50.0)
    numbers, frames = [], 0
    while (batch := flood.advance(150.0, OFFSET_US)).frames:
        frames += batch.frames
        received = unpack(batch)
        numbers += [number for _, number in received]
        assert received[0][0] >= (150.0 - MAX_BEHIND_S) * 1e6 - MAX_BATCH_FRAMES * 10 - 100
    assert frames <= 100_000 * MAX_BEHIND_S + MAX_BATCH_FRAMES
    assert numbers == list(range(frames))
    assert flood.due_s() > 150.0


def test_a_fast_flood_is_gathered_in_batches() -> None:
    flood = Flood(50_000, 0, 50.0)
    assert flood.advance(50.0101, OFFSET_US).frames > 0
    assert flood.due_s() == pytest.approx(50.0101 + GATHER_S)
    assert flood.advance(50.0101, OFFSET_US) == EMPTY_BATCH


def test_frames_have_the_flags_of_the_bus() -> None:
    batch = Flood(1_000, FD | BRS, 50.0).advance(50.1, OFFSET_US)
    assert {frame.flags for frame in frames_of(batch)} == {FD | BRS}


@pytest.mark.parametrize("burst", [2, 50, 5_000])
def test_bursts_come_at_once_and_the_rate_stays_the_average(burst: int) -> None:
    flood, now_s = Flood(1_000, 0, 50.0, burst=burst), 50.0
    received: list[tuple[int, int]] = []
    while (now_s := max(now_s, flood.due_s())) <= 50.0 + 3 * burst / 1_000 + 0.001:
        received += unpack(flood.advance(now_s + 1e-6, OFFSET_US))
    stamps, numbers = zip(*received, strict=True)
    assert list(numbers) == list(range(3 * burst))
    assert [stamps[burst * i] for i in range(3)] == [50_000_000 + (i + 1) * burst * 1_000 for i in range(3)]
    assert len(set(stamps)) == 3


def test_a_count_ends_the_flood_and_resuming_it_continues_the_sequence() -> None:
    flood = Flood(1_000, 0, 50.0, count=25)
    received = unpack(flood.advance(51.0, OFFSET_US))
    assert [number for _, number in received] == list(range(25))
    assert flood.finished
    assert flood.due_s() == math.inf
    assert flood.advance(52.0, OFFSET_US) == EMPTY_BATCH
    flood.resume(60.0)
    assert flood.advance(60.0, OFFSET_US) == EMPTY_BATCH
    assert flood.due_s() == pytest.approx(60.001)
    again = unpack(flood.advance(70.0, OFFSET_US))
    assert [number for _, number in again] == list(range(25, 50))
    assert flood.finished


@pytest.mark.parametrize("length", [*range(1, 9), 12, 64])
def test_numbers_fill_the_first_eight_bytes_and_positions_the_rest(length: int) -> None:
    first, count = 0xFE, 4
    payloads = Numbered(length).payloads(first, range(count))
    width = min(8, length)
    assert payloads == [
        (number % 256**width).to_bytes(width) + bytes(range(8, length))
        for number in range(first, first + count)
    ]


def test_fd_frames_of_64_bytes_carry_numbers_and_id() -> None:
    flood = Flood(10_000, FD | BRS | EXTENDED, 50.0, arbitration_id=0x1234567, payloads=Numbered(64))
    frames = frames_of(flood.advance(50.1, OFFSET_US))
    assert {(frame.arbitration_id, frame.flags, len(frame.data)) for frame in frames} == {
        (0x1234567, FD | BRS | EXTENDED, 64)
    }
    assert [int.from_bytes(frame.data[:8]) for frame in frames] == list(range(1_000))


def test_a_call_too_early_makes_nothing_and_postpones_nothing() -> None:
    flood = Flood(10, 0, 50.0)
    due_s = flood.due_s()
    for now_s in (50.0, 50.05, due_s - 1e-6):
        assert flood.advance(now_s, OFFSET_US) == EMPTY_BATCH
        assert flood.due_s() == due_s
    assert flood.advance(due_s + 1e-6, OFFSET_US).frames == 1


@pytest.mark.parametrize(("length", "magic"), [(8, b"\xca\xfe"), (32, b"\xca\xfd"), (64, b"\xca\xfd")])
def test_payloads_of_the_quality_test_have_their_format(length: int, magic: bytes) -> None:
    payloads = Quality(length, 7).payloads(5, [0, 1000, 2000])
    assert [len(payload) for payload in payloads] == [length] * 3
    for number, payload in enumerate(payloads, 5):
        assert payload.startswith(magic)
        found = quality_frame.parse(payload, fd=length > 8)
        assert found is not None
        assert (found.sequence, found.test_id) == (number, 7)
