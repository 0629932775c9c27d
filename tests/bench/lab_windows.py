"""What the lab's benchmark measures, known to its host and to its guest, and the figures that follow. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOBODY = "nobody"
PROGRAMS = {NOBODY: "vcan0", "cancorderd": "vcan1", "mcandump": "vcan2", "candump": "vcan3"}
"""The interface of each program; that of nobody has no reader."""
SERVERS = ("cancorderd", "mcandump")
"""Those that serve clients."""


_LEAST_IDLE = 0.05


class Plan(NamedTuple):
    rates: Sequence[int]
    """Frames per second."""
    rounds: int
    seconds: float
    """Of each window."""


class Window(NamedTuple):
    program: str
    rate: int
    sent_per_s: float
    cpu: float
    """Processor time of the whole machine, as part of a core."""
    idle: float
    """Part of the time in which the machine had nothing to do."""


class LabRow(NamedTuple):
    rate: int
    rounds: int
    """How many rounds count: those in which the machine was idle now and then, with each program."""
    us: dict[str, float]
    """Processor time that a frame costs more with this program than with nobody: the median of the rounds."""
    spread_us: dict[str, tuple[float, float]]
    """Least and most of the rounds."""


def windows_of(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield program and rate of each window; every round has all of them, in alternating order."""
    for number in range(plan.rounds):
        for rate in plan.rates:
            programs = list(PROGRAMS)
            for program in programs if number % 2 == 0 else reversed(programs):
                yield program, rate


def rows_of(windows: Sequence[Window]) -> list[LabRow]:
    """Return a row for each rate. Windows are in the order of `windows_of`; each round is compared with its own nobody.

    A machine that is never idle falls behind: frames wait for later, and their cost is not in the window.
    """
    found: dict[int, list[dict[str, Window]]] = {window.rate: [] for window in windows}
    for begin in range(0, len(windows), len(PROGRAMS)):
        group = {window.program: window for window in windows[begin : begin + len(PROGRAMS)]}
        if min(window.idle for window in group.values()) >= _LEAST_IDLE:
            found[windows[begin].rate].append(group)
    return [_row(rate, groups) for rate, groups in found.items()]


def _row(rate: int, groups: Sequence[dict[str, Window]]) -> LabRow:
    us: dict[str, list[float]] = {}
    for group in groups:
        bare = group[NOBODY].cpu / group[NOBODY].sent_per_s
        for program, window in group.items():
            if program != NOBODY:
                us.setdefault(program, []).append(1e6 * (window.cpu / window.sent_per_s - bare))
    return LabRow(
        rate,
        len(groups),
        {program: statistics.median(values) for program, values in us.items()},
        {program: (min(values), max(values)) for program, values in us.items()},
    )
