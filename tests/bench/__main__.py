"""Measure our daemon beside other gateways in one run. Started by tests/bench/run: `run [NAME…] [--json FILE] [--write]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import page, plot
from tests.bench.committed_run import PAGE, PICTURES, README, RUN
from tests.bench.curves import CURVES
from tests.bench.rows import ROWS
from tests.support.harness import ROOT

_SECONDS = 4.0
_OMITTED = {
    "mcandump, candump and socketcand": "they read SocketCAN only, and this benchmark brings its adapters along as "
    "pseudo-terminals. `tests/bench/lab` has the first two on vcan.",
    "python-can's can_logger": "it writes files and serves nobody. The row of gs_usb has python-can's own reader.",
    "TouCAN's own delay": "its driver is a library of the vendor. The row of TouCAN has an emulated one, which costs next to nothing.",
}


def head() -> dict[str, Any]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "machine": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "Python": platform.python_version(),
            "cancorder_utils": ancestor_version(),
            "python-can": version("python-can"),
        },
    }


def processor() -> str:
    cpus = Path("/proc/cpuinfo")
    for line in cpus.read_text().splitlines() if cpus.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.stdout.strip() or "unknown"


def ancestor_version() -> str:
    found = list(Path(os.environ.get("ANCESTOR", ".")).glob("cancorder_utils-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if found else "unknown"


def measured(names: list[str], seconds: float) -> dict[str, Any]:
    """Return the run of these parts, as it is written to the JSON."""
    run: dict[str, Any] = {"head": head(), "rows": [], "curves": [], "omitted": dict(_OMITTED)}
    run_began_s = time.monotonic()
    for name in names:
        began_s = time.monotonic()
        try:
            if name in ROWS:
                run["rows"] += [row._asdict() for row in ROWS[name](seconds)]
            else:
                run["curves"] += [curve._asdict() for curve in CURVES[name](seconds)]
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            run["omitted"][name] = f"it failed: {str(error).partition(chr(10))[0]}"
            print(f"{name} failed: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    run["head"] |= {"end_load": os.getloadavg()[0], "took_s": round(time.monotonic() - run_began_s)}
    return run


def write(run: dict[str, Any]) -> None:
    """Write a run as the one that is shown: its JSON, the pictures, and the figures in the guide and README."""
    PICTURES.mkdir(exist_ok=True)
    RUN.write_text(json.dumps(run, indent=1) + "\n")
    plot.main()
    PAGE.write_text(page.replaced(PAGE.read_text(), page.guide_figures(run)))
    README.write_text(page.replaced(README.read_text(), page.readme_figures(run)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measure beside other gateways.")
    parts = [*ROWS, *CURVES]
    parser.add_argument("name", nargs="*", help=f"parts to measure, of {', '.join(parts)}; all if omitted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to this file")
    parser.add_argument(
        "--write", action="store_true", help="write the run into the guide and README, with its pictures"
    )
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="seconds of each measurement")
    options = parser.parse_args()
    if unknown := set(options.name) - set(parts):
        parser.error(f"there is no {', '.join(sorted(unknown))}. Name parts of {', '.join(parts)}.")
    if options.write and options.name:
        parser.error("--write shows a whole run. Name no parts.")
    run = measured(options.name or parts, options.seconds)
    print(page.head(run), page.table(run), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    if failed := set(run["omitted"]) - set(_OMITTED):
        sys.exit(f"Failed: {', '.join(sorted(failed))}. The run is not whole, and is not shown.")
    if options.write:
        write(run)


if __name__ == "__main__":
    main()
