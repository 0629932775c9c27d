"""Measure the cost of forwarding, viewing and a hub. Started by tests/bench/hub: `hub [NAME…] [--json FILE] [--write]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cancorderd.hub.failures import HubError
from tests.bench.__main__ import head
from tests.bench.committed_run import FLEET_PAGE, FORWARDING_PAGE, HUB_PICTURES, HUB_RUN
from tests.bench.fleet import limits, page, stage, uplink, viewing
from tests.bench.page import head as head_text
from tests.bench.page import table
from tests.bench.plot import main as plot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.rows import Row

_SECONDS = 8.0
_TRIES = 2
"""A part that failed is measured once more: a run of ten minutes is lost without it."""
ROWS: dict[str, Callable[[float], list[Row]]] = {
    "forwarder": uplink.forwarder,
    "many-buses": uplink.many_buses,
    "outages": uplink.outages,
    "slow-link": uplink.slow_link,
    "delay": viewing.delay,
    "past": viewing.past,
}
PARTS = (*ROWS, "capacity", "growth")


def measured(names: list[str], seconds: float) -> tuple[dict[str, Any], list[str]]:
    """Return the run of these parts, as it is written to the JSON, and the parts that failed."""
    run: dict[str, Any] = {"head": head(), "rows": [], "capacity": [], "growth": [], "curves": []}
    run["head"]["versions"] = {
        "Python": platform.python_version(),
        "nats-server": stage.version(),
        "nats-py": version("nats-py"),
    }
    failed = []
    run_began_s = time.monotonic()
    for name in names:
        began_s = time.monotonic()
        if not any(_measured(name, seconds, run) for _ in range(_TRIES)):
            failed.append(name)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    run["head"] |= {"end_load": os.getloadavg()[0], "took_s": round(time.monotonic() - run_began_s)}
    return run, failed


def _measured(name: str, seconds: float, run: dict[str, Any]) -> bool:
    """Measure a part; return whether that was possible."""
    try:
        _measure(name, seconds, run)
    except (AssertionError, HubError, OSError, subprocess.SubprocessError) as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return False
    return True


def _measure(name: str, seconds: float, run: dict[str, Any]) -> None:
    """Measure a part, and add it to the run."""
    if name == "capacity":
        run["capacity"] = [each._asdict() for each in limits.capacity(seconds)]
    elif name == "growth":
        points = limits.growth(seconds)
        run["growth"] = [point._asdict() for point in points]
        run["curves"] = [curve._asdict() for curve in limits.curves(points)]
    else:
        run["rows"] += [row._asdict() for row in ROWS[name](seconds)]


def write(run: dict[str, Any]) -> None:
    """Write a run as the one that the guide shows: its JSON, the pictures, and the figures in the two pages."""
    HUB_PICTURES.mkdir(exist_ok=True)
    HUB_RUN.write_text(json.dumps(run, indent=1) + "\n")
    plot(HUB_RUN, HUB_PICTURES)
    for path, figures in ((FORWARDING_PAGE, page.forwarding_figures), (FLEET_PAGE, page.fleet_figures)):
        path.write_text(page.replaced(path.read_text(), figures(json.loads(HUB_RUN.read_text()))))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench/hub", description="Measure forwarding, viewing and a hub."
    )
    parser.add_argument("name", nargs="*", help=f"parts to measure, of {', '.join(PARTS)}; all if omitted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to this file")
    parser.add_argument(
        "--write", action="store_true", help="write the run into the guide, with its pictures"
    )
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="seconds of each measurement")
    options = parser.parse_args()
    if unknown := set(options.name) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}. Name parts of {', '.join(PARTS)}.")
    if sys.platform != "linux":
        parser.error("it reads processor time and memory as Linux has them.")
    if options.write and options.name:
        parser.error("--write shows a whole run. Name no parts.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and gateways end, too
    run, failed = measured(options.name or [*PARTS], options.seconds)
    print(head_text(run), table(run), page.capacity_table(run), page.growth_table(run), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}. The run is not whole, and is not shown.")
    if options.write:
        write(run)


if __name__ == "__main__":
    main()
