"""Two commits in turn in one run: `compare OLD NEW [--rounds N] [--seconds S]`. A commit `.` is the working tree.

The machine's speed drifts, so only pairs are compared: each round measures both, in alternating order, and the ratio
NEW/OLD of the pair counts. A difference smaller than the spread of the ratios is none.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measurement import Load, measure
from tests.bench.rows import FULL_BUS, OURS, QUIET_BUS
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADS = {
    f"{QUIET_BUS} frames/s, one client": (QUIET_BUS, 1, 8),
    f"{FULL_BUS} frames/s, four clients": (FULL_BUS, 4, 8),
    "10000 CAN FD frames/s, four clients": (10_000, 4, 64),
}
"""Rate, clients and length of each row."""


def checkout(commit: str, folder: Path) -> Path:
    """Return a folder with the code of a commit."""
    if commit == ".":
        return ROOT
    tree = folder / commit.replace("/", "_")
    tree.mkdir(exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", commit, "cancorderd"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return tree


def spread(values: list[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def compare(old: Path, new: Path, rounds: int, seconds: float) -> Iterator[str]:
    """Yield a line for each load: processor time of a frame with either code, and the ratio."""
    for title, (rate, clients, length) in LOADS.items():
        us: dict[Path, list[float]] = {old: [], new: []}
        for number in range(rounds):
            for tree in (old, new) if number % 2 == 0 else (new, old):
                us[tree].append(measure(OURS, Load(rate, seconds, clients, length=length), tree)["us"])
        ratios = [after / before for before, after in zip(us[old], us[new], strict=True)]
        yield (
            f"{title:38} {spread(us[old], '.1f'):>24} {spread(us[new], '.1f'):>24}   {spread(ratios, '.2f')}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench/compare", description="Two commits in turn in one run."
    )
    parser.add_argument("old", help="a commit, or . for the working tree")
    parser.add_argument("new", help="a commit, or . for the working tree")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        trees = [checkout(commit, Path(temporary)) for commit in (options.old, options.new)]
        if trees[0] == trees[1]:
            parser.error("both are the same code. Name two commits.")
        print(f"{'µs of a worker for each frame':38} {options.old:>24} {options.new:>24}   ratio new/old")
        for text in compare(trees[0], trees[1], options.rounds, options.seconds):
            print(text, flush=True)


if __name__ == "__main__":
    main()
