"""Pictures of a run, from its JSON: `plot [RUN.json [FOLDER]]`. Lines on two logarithmic axes, in light and in dark."""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any

from tests.bench.committed_run import PICTURES, RUN

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 56, 48
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 15px; font-weight: 600 }
.grid { stroke: #d1d9e0 } .line { fill: none; stroke-width: 2.5 } .paper { fill: #ffffff }
.s0 { stroke: #0969da } .s1 { stroke: #bc4c00 } .s2 { stroke: #59636e; stroke-dasharray: 5 4 }
.d0 { fill: #0969da } .d1 { fill: #bc4c00 } .d2 { fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .grid { stroke: #3d444d } .paper { fill: #0d1117 }
.s0 { stroke: #4493f8 } .s1 { stroke: #f0883e } .s2 { stroke: #9198a1 }
.d0 { fill: #4493f8 } .d1 { fill: #f0883e } .d2 { fill: #9198a1 }
}
"""


class Axis:
    """A logarithmic axis over whole decades, from `begin` to `end` on the paper."""

    def __init__(self, values: list[float], begin: float, end: float) -> None:
        logs = [math.log10(value) for value in values] or [0.0]
        self.low, self.high = math.floor(min(logs)), math.ceil(max(logs))
        self.high = max(self.high, self.low + 1)
        self._begin, self._end = begin, end

    def place(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self._begin + part * (self._end - self._begin)

    @property
    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def picture(curve: dict[str, Any]) -> str:
    """Return the SVG of a curve. Points at 0 or below have no place on its axes, and are left out."""
    series = {
        name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in curve["series"].items()
    }
    points = [point for found in series.values() for point in found]
    across = Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    upward = Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">',
        f"<title>{escape(curve['title'])}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="title" x="{_LEFT}" y="22">{escape(curve["title"])}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">{escape(curve["x"])}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="22" text-anchor="end">{escape(curve["y"])}</text>',
    ]
    for tick in across.ticks:
        x = across.place(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:,g}</text>'
        )
    for tick in upward.ticks:
        y = upward.place(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>'
        )
    parts += [_line(number, *named, across, upward) for number, named in enumerate(series.items())]
    return "\n".join([*parts, "</svg>", ""])


def _line(number: int, name: str, points: list[tuple[float, float]], across: Axis, upward: Axis) -> str:
    """Return the line of a program, its points, and its place in the legend."""
    places = [(f"{across.place(x):.1f}", f"{upward.place(y):.1f}") for x, y in points]
    line = " ".join(",".join(place) for place in places)
    dots = "".join(f'<circle class="d{number}" cx="{x}" cy="{y}" r="3.5"/>' for x, y in places)
    x = _LEFT + 200 * number
    legend = (
        f'<line class="line s{number}" x1="{x}" x2="{x + 24}" y1="42" y2="42"/>'
        f'<text x="{x + 30}" y="46">{escape(name)}</text>'
    )
    return f'<polyline class="line s{number}" points="{line}"/>{dots}{legend}'


def pictures(run: dict[str, Any]) -> dict[str, str]:
    """Return the SVG of each curve of a run, by the name of its file."""
    return {f"{curve['name']}.svg": picture(curve) for curve in run["curves"]}


def main(run: Path = RUN, folder: Path = PICTURES) -> None:
    for name, text in pictures(json.loads(run.read_text())).items():
        (folder / name).write_text(text)
        print(folder / name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
