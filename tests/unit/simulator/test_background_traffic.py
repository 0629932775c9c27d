"""Background traffic: periods, counters, checksums."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from cancorderd.simulator.background_traffic import (
    COUNTER_VALUES,
    NATURAL_RATE,
    TRAFFIC,
    BackgroundTraffic,
    e2e_checksum,
)
from cancorderd.simulator.simulated_bus import BusFrame
from cancorderd.simulator.vehicle import Vehicle


def node(rate: float, *, engine_transmitting: bool = True) -> BackgroundTraffic:
    vehicle = Vehicle(random.Random(1))
    vehicle.drive()
    return BackgroundTraffic(rate, 0, vehicle, lambda: engine_transmitting, random.Random(1))


def listen(background: BackgroundTraffic, seconds: float) -> list[tuple[float, BusFrame]]:
    sent = []
    while (due := background.due) <= seconds:
        background.wake(due)
        while background.outbox:
            frame = background.outbox.pop(0)
            background.sent(frame, due)
            sent.append((due, frame))
    return sent


@pytest.mark.parametrize("rate", [50, 1000, 3000])
def test_the_rate_is_as_requested_and_the_mix_is_constant(rate: float) -> None:
    sent = listen(node(rate), 20_000 / rate)
    assert len(sent) == pytest.approx(20_000, rel=0.01)
    counts = Counter(frame.arbitration_id for _, frame in sent)
    for cyclic in TRAFFIC:
        share = 1000 / cyclic.period_ms / NATURAL_RATE
        assert counts[cyclic.arbitration_id] == pytest.approx(20_000 * share, abs=2)


def test_each_id_keeps_its_period() -> None:
    sent = listen(node(NATURAL_RATE), 5)
    for cyclic in TRAFFIC:
        times = [time for time, frame in sent if frame.arbitration_id == cyclic.arbitration_id]
        assert all(
            after - before == pytest.approx(cyclic.period_ms / 1000)
            for before, after in itertools.pairwise(times)
        )


def test_counters_roll_and_checksums_match() -> None:
    sent = listen(node(1000), 20)
    for cyclic in TRAFFIC:
        frames = [frame.data for _, frame in sent if frame.arbitration_id == cyclic.arbitration_id]
        assert {len(data) for data in frames} == {8}
        for data in frames:
            assert data[0] == e2e_checksum(bytes([cyclic.arbitration_id & 0xFF]) + data[1:])
        for before, after in itertools.pairwise(frames):
            assert after[1] == (before[1] + 1) % COUNTER_VALUES


# Published with the profile (AUTOSAR PRS_E2EProtocol): data id 0x123 in mode BOTH, six bytes of zero, counter 0 and 1.
@pytest.mark.parametrize(("counter", "checksum"), [(0, 0xCC), (1, 0x91)])
def test_the_checksum_is_that_of_e2e_profile_1(counter: int, checksum: int) -> None:
    assert e2e_checksum(b"\x23\x01" + bytes([counter]) + bytes(6)) == checksum


def test_no_frame_is_queued_while_the_last_frame_of_its_id_waits() -> None:
    background = node(1000)
    for _ in range(3_000):
        background.wake(background.due)
    assert len(background.outbox) == len(TRAFFIC)


def test_ids_of_the_engine_are_missing_while_it_does_not_transmit() -> None:
    all_ids = {frame.arbitration_id for _, frame in listen(node(1000), 5)}
    rest = {frame.arbitration_id for _, frame in listen(node(1000, engine_transmitting=False), 5)}
    assert all_ids == {cyclic.arbitration_id for cyclic in TRAFFIC}
    assert all_ids - rest == {cyclic.arbitration_id for cyclic in TRAFFIC if cyclic.engine} != set()


def test_a_rate_of_zero_sends_no_frames() -> None:
    assert node(0).due == float("inf")
