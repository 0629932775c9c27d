"""Measure socketcan beside mcandump and candump in the lab's machine. Started by tests/bench/lab: `lab [--write] [--json FILE]`.

The host's half: it measures the processor time of the whole machine (User-Mode Linux: some processes of this host) during
each window that `lab_guest` begins. Programs and windows are in `lab_windows`, the text of the guide's page in `lab_page`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench import lab_page
from tests.bench.__main__ import head
from tests.bench.committed_run import LAB_RUN, PAGE
from tests.bench.lab_windows import Plan, Window, rows_of, windows_of
from tests.bench.measurement import cpu_s
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_RATES = (10, 100, 500, 1000, 2000, 5000)
_SETTLE_S = 0.5
"""Time of a window before it counts."""
_LOOK_EVERY_S = 0.02
_LIMIT_S = 1500


class MachineEnded(RuntimeError):
    """The machine has stopped before the last window."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench/lab", description="Measure socketcan in the lab's machine."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to this file")
    parser.add_argument("--write", action="store_true", help="write the run into the guide")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each program at each rate")
    parser.add_argument("--rates", type=int, nargs="+", default=_RATES, help="frames per second")
    options = parser.parse_args()
    run = measured(Plan(options.rates, options.rounds, options.seconds))
    print(lab_page.lab_figures(run))
    if options.json:
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    if options.write:
        LAB_RUN.write_text(json.dumps(run, indent=1) + "\n")
        PAGE.write_text(lab_page.replaced(PAGE.read_text(), run))


def measured(plan: Plan) -> dict[str, Any]:
    """Return a run, as it is written to the JSON."""
    run: dict[str, Any] = {"head": head()}
    run_began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subprocess.run([ROOT / "tests/lab/crates", folder / "crates"], check=True)
        if (missing := folder / "crates/missing").exists():
            sys.exit(f"mcandump is missing: {missing.read_text().strip()}")
        command = [
            str(ROOT / "tests/lab/machine"), "run", "-t", str(_LIMIT_S), str(ROOT / "tests/bench/lab_in_guest"),
            json.dumps(plan),
        ]  # fmt: skip
        machine = subprocess.Popen(command, env=os.environ | {"LAB_OUT": temporary})
        try:
            cpu = list(measured_windows(machine, folder, plan))
            if machine.wait(_LIMIT_S):
                raise MachineEnded(f"the machine's script has failed: {machine.returncode}")
        finally:
            machine.terminate()
            machine.wait()
        guest = [json.loads(line) for line in (folder / "windows").read_text().splitlines()]
        windows = [
            Window(program, rate, sent["sent"] / sent["seconds"], part, sent["idle_s"] / sent["seconds"])
            for (program, rate), sent, part in zip(windows_of(plan), guest, cpu, strict=True)
        ]
        run["head"]["versions"] |= json.loads((folder / "versions").read_text())
        run["profile"] = json.loads((folder / "profile").read_text())
        run["frames"] = json.loads((folder / "frames").read_text())
    run["head"] |= {"end_load": os.getloadavg()[0], "took_s": round(time.monotonic() - run_began_s)}
    run["plan"] = plan._asdict()
    run["windows"] = windows
    run["rows"] = [row._asdict() for row in rows_of(windows)]
    return run


def measured_windows(machine: subprocess.Popen[bytes], folder: Path, plan: Plan) -> Iterator[float]:
    """Yield the machine's processor time in each window, as part of a core."""
    for number, _ in enumerate(windows_of(plan)):
        while not (folder / f"begun-{number}").exists():
            if machine.poll() is not None:
                raise MachineEnded(f"the machine has ended at window {number}: {machine.returncode}")
            time.sleep(_LOOK_EVERY_S)
        time.sleep(_SETTLE_S)
        before, began_s = spent(machine.pid), time.monotonic()
        time.sleep(plan.seconds)
        after, passed_s = spent(machine.pid), time.monotonic() - began_s
        (folder / f"measured-{number}").touch()
        yield sum(after[pid] - before[pid] for pid in before.keys() & after.keys()) / passed_s


def spent(pid: int) -> dict[int, float]:
    """Return the processor time of a process and of its descendants. A process of the guest is one of this host, too."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(OSError):
            found[process.pid] = cpu_s([process.pid])
    return found


if __name__ == "__main__":
    main()
