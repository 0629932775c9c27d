"""Background traffic: periods, counters, checksums."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from cancorderd.simulator.background import COUNTER_VALUES, NATURAL_RATE, TRAFFIC, Background, crc8
from cancorderd.simulator.bus import BusFrame
from cancorderd.simulator.vehicle import Vehicle


def node(rate: float, *, engine_talking: bool = True) -> Background:
    vehicle = Vehicle(random.Random(1))
    vehicle.drive()
    return Background(rate, 0, vehicle, lambda: engine_talking, random.Random(1))


def listen(background: Background, seconds: float) -> list[tuple[float, BusFrame]]:
    heard = []
    while (due := background.due) <= seconds:
        background.wake(due)
        while background.outbox:
            frame = background.outbox.pop(0)
            background.sent(frame, due)
            heard.append((due, frame))
    return heard


@pytest.mark.parametrize("rate", [50, 1000, 3000])
def test_the_rate_is_what_was_asked_for_and_the_mix_is_kept(rate: float) -> None:
    heard = listen(node(rate), 20_000 / rate)
    assert len(heard) == pytest.approx(20_000, rel=0.01)
    counts = Counter(frame.arbitration_id for _, frame in heard)
    for cyclic in TRAFFIC:
        share = 1000 / cyclic.period_ms / NATURAL_RATE
        assert counts[cyclic.arbitration_id] == pytest.approx(20_000 * share, abs=2)


def test_each_id_keeps_its_period() -> None:
    heard = listen(node(NATURAL_RATE), 5)
    for cyclic in TRAFFIC:
        times = [at for at, frame in heard if frame.arbitration_id == cyclic.arbitration_id]
        assert all(
            after - before == pytest.approx(cyclic.period_ms / 1000)
            for before, after in itertools.pairwise(times)
        )


def test_counters_roll_and_checksums_fit() -> None:
    heard = listen(node(1000), 20)
    for cyclic in TRAFFIC:
        frames = [frame.data for _, frame in heard if frame.arbitration_id == cyclic.arbitration_id]
        assert {len(data) for data in frames} == {8}
        for data in frames:
            assert data[0] == crc8(bytes([cyclic.arbitration_id & 0xFF]) + data[1:])
        for before, after in itertools.pairwise(frames):
            assert after[1] == (before[1] + 1) % COUNTER_VALUES


def test_crc8_is_that_of_sae_j1850() -> None:
    assert crc8(b"123456789") == 0x4B


def test_an_id_whose_last_frame_waits_sends_none() -> None:
    background = node(1000)
    for _ in range(3_000):
        background.wake(background.due)
    assert len(background.outbox) == len(TRAFFIC)


def test_the_engine_falls_silent_when_it_is_told() -> None:
    all_ids = {frame.arbitration_id for _, frame in listen(node(1000), 5)}
    rest = {frame.arbitration_id for _, frame in listen(node(1000, engine_talking=False), 5)}
    assert all_ids == {cyclic.arbitration_id for cyclic in TRAFFIC}
    assert all_ids - rest == {cyclic.arbitration_id for cyclic in TRAFFIC if cyclic.engine} != set()


def test_no_rate_no_frames() -> None:
    assert node(0).due == float("inf")
