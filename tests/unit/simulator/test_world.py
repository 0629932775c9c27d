"""Runs: repeatable by seed, independent of the caller's clock, with the ancestor's timing at speed 1."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cancorderd.protocol.frame import BRS, EXTENDED, FD
from cancorderd.simulator.options import Options
from cancorderd.simulator.uds import P2_S
from tests.support.isotp_listener import Exchange, IsotpListener
from tests.unit.simulator.simulation_runs import EPOCH_US, bare, drive

SHORT: dict[str, Any] = {"image_size": 1_500}


@pytest.mark.parametrize("settings", [{}, {"background": 300}, {"fd": True}, {"extended": True}])
def test_a_seed_repeats_a_run_to_the_byte(settings: dict[str, Any]) -> None:
    options = Options(seed=7, speed=20, **SHORT, **settings)
    first, again = drive(options, 3), drive(options, 3, step_s=0.05)
    count = min(len(first), len(again))
    assert count > 800
    assert bare(first)[:count] == bare(again)[:count]
    assert all(abs(a.timestamp_us - b.timestamp_us) <= 1 for a, b in zip(first, again, strict=False))


def test_speed_changes_times_and_nothing_else() -> None:
    slow, fast = (drive(Options(seed=3, speed=speed, **SHORT), 40 / speed) for speed in (1, 8))
    count = min(len(slow), len(fast))
    assert bare(slow)[:count] == bare(fast)[:count]
    for a, b in zip(slow[:count:50], fast[:count:50], strict=True):
        assert a.timestamp_us - EPOCH_US == pytest.approx(8 * (b.timestamp_us - EPOCH_US), abs=10)


def test_runs_with_different_seeds_or_without_a_seed_differ() -> None:
    runs = [bare(drive(Options(seed=seed, speed=50, **SHORT), 0.5)) for seed in (1, 2, None, None)]
    for index, run in enumerate(runs):
        assert all(run != other for other in runs[index + 1 :])


def test_time_stamps_increase_and_frames_do_not_overlap() -> None:
    frames = drive(Options(seed=1, background=3_000, **SHORT), 5)
    assert len(frames) > 12_000
    gaps = [b.timestamp_us - a.timestamp_us for a, b in itertools.pairwise(frames)]
    assert min(gaps) >= 80  # an empty frame at 500 kbit/s lasts longer


@pytest.mark.parametrize(
    ("settings", "flags", "longest"),
    [({}, 0, 8), ({"extended": True}, EXTENDED, 8), ({"fd": True}, FD | BRS, 64)],
)
def test_frames_have_the_flags_and_lengths_of_the_bus(
    settings: dict[str, Any], flags: int, longest: int
) -> None:
    frames = drive(Options(seed=1, speed=50, **SHORT, **settings), 1)
    assert {frame.flags for frame in frames} == {flags}
    assert max(len(frame.data) for frame in frames) == longest


def heard_at_speed_1(seed: int) -> list[Exchange]:
    options = Options(seed=seed, loop=False, **SHORT)
    return IsotpListener(options).exchanges(drive(options, 120))


@pytest.mark.parametrize("seed", range(6))
def test_a_session_has_the_ancestors_timing(seed: int) -> None:
    exchanges = heard_at_speed_1(seed)
    for exchange in exchanges:
        request, responses = exchange.request, exchange.responses
        first_s, last_s = (
            (response.began_us - request.timestamp_us) / 1e6 for response in (responses[0], responses[-1])
        )
        assert 0.004 <= first_s <= P2_S
        match request.payload[:4], responses[-1].payload[:1]:
            case (b"\x31\x01\xff\x00", b"\x71"):
                assert 0.5 <= last_s <= 2.01
                assert len(responses) >= 2
            case (b"\x31\x01\xff\x01", b"\x71"):
                assert 0.3 <= last_s <= 0.71
            case ([0x27, *_], b"\x67"):
                assert 0.1 <= last_s <= 0.31
            case ([0x36, *_], b"\x76"):
                assert 0.01 <= last_s <= 0.21
            case _ if len(responses) == 1:
                assert 0.01 <= last_s <= 0.05
    reset = next(i for i, exchange in enumerate(exchanges) if exchange.request.payload == b"\x11\x01")
    back_s = (exchanges[reset + 1].request.began_us - exchanges[reset].responses[0].timestamp_us) / 1e6
    assert 2.1 <= back_s <= 2.6  # the ECU takes 1 to 2 s


def test_the_default_session_lasts_as_long_as_the_ancestors() -> None:
    for seed in range(4):
        frames = drive(Options(seed=seed, loop=False), 300)
        assert 15 <= (frames[-1].timestamp_us - frames[0].timestamp_us) / 1e6 <= 75


def test_readiness_on_the_bus_follows_clearing_and_driving() -> None:
    statuses = [
        frame.data[5:7].hex()
        for seed in range(3)
        for frame in drive(Options(seed=seed, speed=50, image_size=300), 1)
        if frame.arbitration_id == 0x7E8 and frame.data[:3] == b"\x06\x41\x01"
    ]
    # Nothing is complete right after a session, which clears the memory; then one self-test after another.
    assert set(statuses) >= {"6565", "6500"}
    assert len(set(statuses)) > 3


def test_polling_continues_between_sessions() -> None:
    frames = drive(Options(seed=5, speed=50, **SHORT), 2)
    sessions = [index for index, frame in enumerate(frames) if frame.data[:4] == b"\x05\x71\x01\x02"]
    assert len(sessions) >= 3
    between = frames[sessions[0] : sessions[1]]
    assert sum(frame.arbitration_id == 0x7DF and frame.data[1] == 1 for frame in between) > 30
