"""Drill: the machine's power is cut while it records and writes ports.toml; it boots again with the same disk.

    tests/lab/run power-cut [CUTS]

The machine (`machine`) is killed as a process of the host, so that it loses all that its kernel had not put on the disk. Runs on
the host, with the standard library alone; `guest/power_cut.py` records and judges in the machine. Prints the row of
the table. Exit status 1 if a promise did not hold, 2 if this host cannot build the machine.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults import table
from tests.faults.account import Account
from tests.faults.drill import Result, Row
from tests.lab.powered import BOOT_S, HERE, PoweredMachine, poll

CUTS = 3
FEWEST_LINES = 10
"""Of what was seen in a boot, before its cut."""
LATEST_S = 5.0
"""From the begin of a reload to the cut, at most: its port is not given yet, is being written, or is written."""
LOST_S = 5.0
"""Age of the oldest loss on an idle machine; it is a second, and the time that the disk takes."""


class Machine(PoweredMachine):
    """Boots of a machine that records."""

    def __init__(self, out: Path) -> None:
        super().__init__("power_cut", out)
        self.boots = 0
        self._chance = random.Random()

    def run_until_cut(self) -> None:
        """Boot, wait until frames are recorded and ports are written, and cut the power at random."""
        self.boot(str(self.boots))
        try:
            poll(lambda: self._progress().count("\n") >= FEWEST_LINES, "frames are recorded")
            begun = self._begun()
            poll(lambda: self._begun() not in ("", begun), "a further reload")
            time.sleep(self._chance.uniform(0, LATEST_S))
        finally:
            self.cut()
        self.boots += 1

    def end(self) -> None:
        """Boot once more, to see that everything goes on."""
        running = self.boot(str(self.boots), "end")
        try:
            status = running.wait(2 * BOOT_S)
        finally:
            self.cut()
        if status:
            raise AssertionError(f"the machine ended with the status {status} after the last cut")

    def left(self, boot: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / f"left-{boot}").read_text())
        return found

    def _begun(self) -> str:
        """Return the bus that was added last."""
        whole = self._progress().rpartition("\n")[0]
        return str(json.loads(whole.rpartition("\n")[2])["begun"])

    def _progress(self) -> str:
        """Return what was seen in this boot. Raises AssertionError if the machine has ended by itself."""
        self.assert_runs()
        file = self.out / f"progress-{self.boots}"
        return file.read_text() if file.exists() else ""


def drill(machine: Machine, cuts: int) -> Row:
    row = Row(
        times=cuts,
        note="20 frames/s and format, since the machine is slow; sent is what was reported as recorded",
    )
    for _ in range(cuts):
        machine.run_until_cut()
    machine.end()
    limit_s = LOST_S * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))
    for boot in range(1, cuts + 1):
        found = machine.left(boot)
        row.accounts.append(Account(found["sent"], found["received"]))
        row.mistakes += [f"cut {boot}: {mistake}" for mistake in found["mistakes"]]
        for what, key in (("frames", "lost_s"), ("a port", "port_lost_s")):
            row.figures.setdefault(key, []).append(round(found[key], 2))
            row.expect(found[key] < limit_s, f"cut {boot}: {what} of {found[key]:.1f} s before it lost")
    worst = {key: max(row.figures[key]) for key in ("lost_s", "port_lost_s")}
    row.note += (
        f"; lost at most: frames of the last {worst['lost_s']} s, ports of the last {worst['port_lost_s']} s"
    )
    return row


def main(cuts: int) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine has to end, too
    for step in ("setup", "build"):
        if status := subprocess.run([HERE / "machine", step], check=False).returncode:
            return status
    with tempfile.TemporaryDirectory(prefix="cancorder-power-cut-") as folder:
        machine = Machine(Path(folder))
        try:
            row = drill(machine, cuts)
        except AssertionError as error:
            row = Row(mistakes=[str(error)])
            print(machine.log.read_text(errors="replace"), file=sys.stderr)
    found = Result("disk:power-cut", "the power is cut while it records", row).as_json()
    print(table.HEAD + "\n" + table.line(found), flush=True)
    return 1 if row.failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else CUTS))
