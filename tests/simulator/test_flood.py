"""The flood: numbers without gaps, stamps at the rate, no more at a time than was promised."""

from __future__ import annotations

import itertools
import struct

import pytest

from cancorderd.frame import BRS, FD, NOTHING, Batch
from cancorderd.simulator.flood import ARBITRATION_ID, GATHER_S, MAX_BEHIND_S, MOST_AT_ONCE, Flood
from cancorderd.wire import PacketDecoder

OFFSET_US = 1_700_000_000_000_000.0


def unpack(batch: Batch) -> list[tuple[int, int]]:
    """Stamps, counted from the offset, and numbers."""
    decoder = PacketDecoder()
    decoder.receive(batch.packets)
    frames = list(decoder.frames())
    assert (len(frames), decoder.pending) == (batch.frames, 0)
    assert {frame.arbitration_id for frame in frames} <= {ARBITRATION_ID}
    return [(frame.timestamp_us - int(OFFSET_US), *struct.unpack(">Q", frame.data)) for frame in frames]


def flow(rate: float, seconds: float, step_s: float | None = None) -> list[tuple[int, int]]:
    """What comes when it is called at `due_s`, or every `step_s`."""
    flood, now_s = Flood(rate, 0, 50.0), 50.0
    got: list[tuple[int, int]] = []
    while True:
        now_s = max(now_s, flood.due_s()) if step_s is None else now_s + step_s
        if now_s > 50.0 + seconds:
            return got
        got += unpack(flood.advance(now_s + 1e-6, OFFSET_US))


@pytest.mark.parametrize("rate", [1, 10, 999, 9_009, 30_000])
@pytest.mark.parametrize("step_s", [None, 0.01])
def test_numbers_have_no_gaps_and_stamps_keep_the_rate(rate: float, step_s: float | None) -> None:
    seconds = min(3.0, 10_000 / rate)
    got = flow(rate, seconds, step_s)
    assert len(got) == pytest.approx(seconds * rate, abs=max(2, rate * 0.011))
    stamps, numbers = zip(*got, strict=True)
    assert list(numbers) == list(range(len(got)))
    for number, stamp in enumerate(stamps, 1):
        assert stamp == pytest.approx(50e6 + number * 1e6 / rate, abs=2)


def test_a_batch_is_bounded_and_the_rest_is_due_at_once() -> None:
    flood = Flood(1_000_000, 0, 50.0)
    first = flood.advance(50.05, OFFSET_US)
    assert first.frames == MOST_AT_ONCE
    assert flood.due_s() <= 50.05
    second = flood.advance(50.05, OFFSET_US)
    stamps, numbers = zip(*unpack(first), *unpack(second), strict=True)
    assert numbers == tuple(range(2 * MOST_AT_ONCE))
    assert all(0 <= after - before <= 2 for before, after in itertools.pairwise(stamps))


def test_what_the_machine_does_not_give_is_not_made_up_for() -> None:
    flood = Flood(100_000, 0, 50.0)
    numbers, frames = [], 0
    while (batch := flood.advance(150.0, OFFSET_US)).frames:
        frames += batch.frames
        got = unpack(batch)
        numbers += [number for _, number in got]
        assert got[0][0] >= (150.0 - MAX_BEHIND_S) * 1e6 - MOST_AT_ONCE * 10 - 100
    assert frames <= 100_000 * MAX_BEHIND_S + MOST_AT_ONCE
    assert numbers == list(range(frames))
    assert flood.due_s() > 150.0


def test_a_fast_flood_comes_in_batches() -> None:
    flood = Flood(50_000, 0, 50.0)
    assert flood.advance(50.0101, OFFSET_US).frames > 0
    assert flood.due_s() == pytest.approx(50.0101 + GATHER_S)
    assert flood.advance(50.0101, OFFSET_US) == NOTHING


def test_it_has_the_flags_of_its_bus() -> None:
    decoder = PacketDecoder()
    decoder.receive(Flood(1_000, FD | BRS, 50.0).advance(50.1, OFFSET_US).packets)
    assert {frame.flags for frame in decoder.frames()} == {FD | BRS}
