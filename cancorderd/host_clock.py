"""The host's two clocks, and whether the one that counts since the epoch was set."""

from __future__ import annotations

import time

STEP_US = 30_000
"""Least step: NTP changes both clocks by smaller differences, and sets only the clock since the epoch by larger ones."""
_TOGETHER_NS = 1_000_000
_ATTEMPTS = 5


def clocks_us() -> tuple[int, int]:
    """Return the time since the epoch and the monotonic time of one moment, in microseconds.

    A process that loses the processor between the two readings tries again: otherwise the clock would seem to be set.
    """
    best: tuple[int, int, int] | None = None
    for _ in range(_ATTEMPTS):
        before = time.monotonic_ns()
        epoch = time.time_ns()
        apart = time.monotonic_ns() - before
        if best is None or apart < best[0]:
            best = apart, epoch // 1000, (before + apart // 2) // 1000
        if apart < _TOGETHER_NS:
            break
    assert best  # noqa: S101 - there is an attempt
    return best[1:]


class HostClock:
    """Finds the moments at which the clock since the epoch was set. Pure: the clocks are arguments."""

    def __init__(self) -> None:
        self._offset_us: int | None = None

    def step_us(self, epoch_us: int, monotonic_us: int) -> int:
        """Return by how much the clock was set since the last call; 0 if it was not. A machine that slept sets it, too."""
        offset_us = epoch_us - monotonic_us
        step_us = 0 if self._offset_us is None else offset_us - self._offset_us
        self._offset_us = offset_us
        return step_us if abs(step_us) >= STEP_US else 0
