"""What the guide shows of a run in the lab: the text between `<!-- lab -->` and `<!-- /lab -->`."""

from __future__ import annotations

from typing import Any

from tests.bench.lab_windows import NOBODY, PROGRAMS
from tests.bench.page import head, number

BEGIN, END = "<!-- lab -->", "<!-- /lab -->"


def lab_figures(run: dict[str, Any]) -> str:
    plan = run["plan"]
    rounds = (
        f"{plan['rounds']} measurements of {plan['seconds']:g} s each: median, with the least and the most."
    )
    return f"{head(run)}\n\n{rounds}\n\n{table(run)}\n\n{lost(run)}\n\n{profile(run)}"


def table(run: dict[str, Any]) -> str:
    """Return processor time of each frame, for each rate and program."""
    programs = [program for program in PROGRAMS if program != NOBODY]
    lines = ["| frames/s | rounds | " + " | ".join(f"{program}, µs a frame" for program in programs) + " |"]
    lines.append("|---:|---:|" + "---:|" * len(programs))
    for row in run["rows"]:
        cells = []
        for program in programs if row["rounds"] else ():
            least, most = row["spread_us"][program]
            cells.append(f"{number(row['us'][program])} ({number(least)} to {number(most)})")
        lines.append(f"| {row['rate']:,} | {row['rounds']} | {' | '.join(cells or [''] * len(programs))} |")
    return "\n".join(lines)


def lost(run: dict[str, Any]) -> str:
    counts = [
        f"{name} {frames['sent'] - frames['received']:,} of {frames['sent']:,}"
        for name, frames in run["frames"].items()
    ]
    return f"Frames that did not reach the client: {', '.join(counts)}."


def profile(run: dict[str, Any]) -> str:
    lines = ["System calls of each frame:", ""]
    for program, calls in run["profile"].items():
        often = {
            name: count for name, count in sorted(calls.items(), key=lambda call: -call[1]) if count >= 0.1
        }
        text = ", ".join(f"{count:.1f} {name}" for name, count in often.items())
        lines.append(f"- {program}: {sum(calls.values()):.1f} ({text})")
    return "\n".join(lines)


def replaced(text: str, run: dict[str, Any]) -> str:
    """Return the page with the figures of another run."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{lab_figures(run)}\n\n{END}{after}"
