"""Runs of the simulation by a simulated clock; runs by seed and variant are computed once for all tests."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import PacketDecoder
from cancorderd.simulator.options import Options
from cancorderd.simulator.simulation import Simulation
from tests.support.isotp_listener import Exchange, IsotpListener

START_S = 5_000.0
EPOCH_US = 1_700_000_000_000_000


def drive(options: Options, seconds: float, *, step_s: float | None = None) -> list[Frame]:
    """Return the frames of `seconds` on the caller's clock, with one client, or fewer if the run ends.

    The clock jumps from each `due_s` to the next, or advances by `step_s`.
    """
    return list(play(options, seconds, step_s=step_s))


def play(options: Options, seconds: float, *, step_s: float | None = None) -> Iterator[Frame]:
    simulation = Simulation(options, START_S)
    simulation.set_client_count(1, START_S)
    now_s = START_S
    while (due_s := simulation.due_s()) is not None:
        now_s = max(now_s, due_s) if step_s is None else now_s + step_s
        if now_s > START_S + seconds:
            return
        batch = simulation.advance(now_s, EPOCH_US + round((now_s - START_S) * 1e6))
        yield from frames_of(batch)


def frames_of(batch: Batch) -> list[Frame]:
    """Return the frames of `batch`, after a check that their number is right and every packet complete."""
    decoder = PacketDecoder()
    decoder.receive(batch.packets)
    frames = list(decoder.frames())
    assert (len(frames), decoder.pending) == (batch.frames, 0)
    return frames


def bare(frames: list[Frame]) -> list[tuple[int, int, bytes]]:
    """Return the frames without their time stamps."""
    return [(frame.arbitration_id, frame.flags, frame.data) for frame in frames]


SPEED = 50.0
SEEDS = range(10)

MIXED = {"busy_rate": 0.1, "wrong_key_rate": 0.3, "transfer_error_rate": 0.02, "slip_rate": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "session": {"loop": False},
    "polling": {"image_size": 2_000},
    "errors": {"loop": False, "image_size": 20_000, "block_length": 34, "conditions_rate": 0.5, **MIXED},
    "lockout": {"loop": False, "image_size": 500, "wrong_key_rate": 0.6},
    "extended": {"extended": True, "image_size": 4_000},
    "fd": {"fd": True, "image_size": 50_000},
    "long blocks": {"loop": False, "image_size": 30_000, "block_length": 4_095},
    "background": {"background": 2_000, "image_size": 4_000},
}


def options(seed: int, variant: str) -> Options:
    return Options(seed=seed, speed=SPEED, **VARIANTS[variant])


@functools.cache
def recorded(seed: int, variant: str) -> list[Frame]:
    seconds = 1.2 if VARIANTS[variant].get("loop", True) else 600 / SPEED
    return drive(options(seed, variant), seconds)


@functools.cache
def listen(seed: int, variant: str) -> list[Exchange]:
    """Return the exchanges that can-isotp saw, except for the last if the end of the run may have cut it off."""
    listener = IsotpListener(options(seed, variant))
    exchanges = listener.exchanges(recorded(seed, variant))
    assert listener.errors == []
    return exchanges if not VARIANTS[variant].get("loop", True) else exchanges[:-1]


every_run = pytest.mark.parametrize(
    ("seed", "variant"),
    [
        *itertools.product(SEEDS, ["session"]),
        *itertools.product(SEEDS[:3], [variant for variant in VARIANTS if variant != "session"]),
    ],
)
