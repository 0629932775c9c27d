"""Growth of memory and descriptors over a soak, as numbers and as a plot. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 0.02
"""Growth after the first minute that is no leak yet: memories with a bound still fill, such as that of 500 events."""
WARM_UP_S = 60.0
FEWEST = 12
"""Samples after the warm-up without which their medians say nothing: workers have just started, or have more clients."""
_WINDOW = 0.3
"""Share of the samples at each end whose medians are compared."""


class Sample(NamedTuple):
    """A look at the processes when all buses run."""

    at_s: float
    """Seconds since the start of the soak."""
    supervisor_bytes: int
    workers_bytes: int
    supervisor_descriptors: int
    workers_descriptors: int


SERIES = Sample._fields[1:]


def growth(samples: Sequence[Sample], series: str) -> float:
    """Return the growth of the median after the warm-up, from the first part of the samples to the last; 0.01 is 1 %."""
    values = [getattr(sample, series) for sample in samples if sample.at_s >= WARM_UP_S]
    size = max(1, round(len(values) * _WINDOW))
    first, last = (statistics.median(part) for part in (values[:size], values[-size:]))
    return float(last / first - 1)


_WIDTH, _HEIGHT, _MARGIN = 760, 150, 50
_COLOUR = {True: "#1f6feb", False: "#8b949e"}


def plot(samples: Sequence[Sample]) -> str:
    """Return an SVG with a curve for each series; the warm-up is grey."""
    parts = []
    for row, series in enumerate(SERIES):
        parts += _curve(samples, series, row * (_HEIGHT + 20) + 30)
    height = len(SERIES) * (_HEIGHT + 20) + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _curve(samples: Sequence[Sample], series: str, top: int) -> list[str]:
    values = [getattr(sample, series) for sample in samples]
    most = max(values) * 1.1 or 1
    end_s = samples[-1].at_s or 1.0
    in_bytes = series.endswith("bytes")

    def point(sample: Sample) -> str:
        x = _MARGIN + sample.at_s / end_s * (_WIDTH - 2 * _MARGIN)
        y = top + _HEIGHT * (1 - getattr(sample, series) / most)
        return f"{x:.1f},{y:.1f}"

    title = f"{series.replace('_', ' ')}: {growth(samples, series):+.1%} after the first minute, now "
    title += f"{values[-1] / (1 << 20):.1f} MiB" if in_bytes else str(values[-1])
    lines = [
        f'<text x="{_MARGIN}" y="{top - 4}">{title}</text>',
        f'<line x1="{_MARGIN}" y1="{top + _HEIGHT}" x2="{_WIDTH - _MARGIN}" y2="{top + _HEIGHT}" stroke="#ccc"/>',
        f'<text x="{_WIDTH - _MARGIN}" y="{top + _HEIGHT + 14}" text-anchor="end">{end_s / 60:.1f} min</text>',
    ]
    for steady in (False, True):
        points = [point(sample) for sample in samples if (sample.at_s >= WARM_UP_S) == steady]
        if points:
            lines.append(f'<polyline fill="none" stroke="{_COLOUR[steady]}" points="{" ".join(points)}"/>')
    return lines
