"""Steps of the host's clock since the epoch, by virtual clocks; the real ones are read once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.host_clock import STEP_US, HostClock, clocks_us
from cancorderd.supervisor.supervision import step_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCH = 1_700_000_000_000_000


@pytest.mark.parametrize("step", [-3_600_000_000, -STEP_US, STEP_US, 1_000_000, 3_600_000_000])
def test_step_is_found_once(step: int) -> None:
    clock = HostClock()
    assert clock.step_us(EPOCH, 0) == 0
    assert clock.step_us(EPOCH + 1_000_000, 1_000_000) == 0
    assert clock.step_us(EPOCH + 2_000_000 + step, 2_000_000) == step
    assert clock.step_us(EPOCH + 3_000_000 + step, 3_000_000) == 0


def test_noise_and_drift_between_the_clocks_are_no_step() -> None:
    clock = HostClock()
    assert not any(clock.step_us(EPOCH + second * 1_000_500, second * 1_000_000) for second in range(100_000))


def test_a_process_that_loses_the_processor_between_the_readings_sees_no_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def readings() -> Iterator[int]:
        yield from (0, 400_000_000)  # the first pair is 400 ms apart
        yield from (400_000_000, 400_000_200)

    pending = readings()
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(pending))
    monkeypatch.setattr(time, "time_ns", lambda: EPOCH * 1000 + 400_000_100)
    epoch_us, monotonic_us = clocks_us()
    assert abs(epoch_us - EPOCH - monotonic_us) <= 1


def test_clocks_are_those_of_the_host() -> None:
    epoch_us, monotonic_us = clocks_us()
    assert 0 <= time.time_ns() // 1000 - epoch_us < 10_000_000
    assert 0 <= time.monotonic_ns() // 1000 - monotonic_us < 10_000_000


def test_sentence_names_direction_and_size() -> None:
    assert "was set ahead by 3600.00 s, or the machine slept: " in step_sentence(3_600_000_000)
    assert "was set back by 0.50 s: " in step_sentence(-500_000)
