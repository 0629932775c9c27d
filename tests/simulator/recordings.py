"""Runs of the simulation that several tests listen to: by seed and variant, each made once."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest

from cancorderd.frame import Frame
from cancorderd.simulator import Options
from tests.simulator.listener import Exchange, Listener, drive

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
    """What can-isotp heard. The last exchange may have been cut off by the end."""
    listener = Listener(options(seed, variant))
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
