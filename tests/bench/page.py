"""What the guide and README show of a run: the text between `<!-- figures -->` and `<!-- /figures -->`."""

from __future__ import annotations

from typing import Any

_BUSY_LOAD = 1.0
_BUSY = "**The machine was busy with other work:** times are too long, and only the columns of one row can be compared."
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def number(value: float) -> str:
    """Return a figure with three significant digits."""
    if value == 0 or value != value:  # noqa: PLR0124 - not a number
        return "0"
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def head(run: dict[str, Any]) -> str:
    found = run["head"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    load = f"load {found['load']:.1f} at the start"
    if "end_load" in found:
        load += f" and {found['end_load']:.1f} at the end of {found['took_s'] / 60:.0f} minutes"
    text = (
        f"Measured on {found['date']} with commit {found['commit']} on {found['machine']} "
        f"({found['cores']} processors, {load}), {found['system']}; {versions}."
    )
    return f"{text} {_BUSY}" if found["load"] >= _BUSY_LOAD else text


def table(run: dict[str, Any]) -> str:
    """Return the rows of a run as a table: a column for each program that has a figure."""
    columns = list(dict.fromkeys(name for row in run["rows"] for name in row["figures"]))
    lines = ["| | unit | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
    for row in run["rows"]:
        figures = [number(row["figures"][name]) if name in row["figures"] else "" for name in columns]
        lines.append(f"| {row['title']} | {row['unit']} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def omitted(run: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {reason}" for name, reason in run["omitted"].items())


def guide_figures(run: dict[str, Any]) -> str:
    shown = "\n\n".join(f"![{curve['title']}](how-fast/{curve['name']}.svg)" for curve in run["curves"])
    return f"{head(run)}\n\n{table(run)}\n\n{shown}\n\nNot measured in this run:\n\n{omitted(run)}"


def readme_figures(run: dict[str, Any]) -> str:
    rows = {row["name"]: row["figures"] for row in run["rows"]}
    full, lost, delay = (rows[name]["cancorderd"] for name in ("full-bus", "lost", "median-delay"))
    return (
        "![Processor time against frames per second](contrib/guide/how-fast/rate.svg)\n\n"
        f"A full bus of 1 Mbit/s (9,009 frames/s) with four clients takes {number(full)} % of a core, delays a frame by "
        f"{number(delay)} ms (median), and loses {number(lost)} % of the frames. [How fast](contrib/guide/how-fast.md) says "
        "on which machine, against what, and how to repeat it."
    )


def replaced(text: str, figures: str) -> str:
    """Return a page with other figures."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"
