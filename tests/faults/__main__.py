"""Run the drills and print a line for each; see `run`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults import table
from tests.faults.collection import named
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from tests.faults.drill import Drill

SIDE_BY_SIDE = 3
"""Drills that run at a time: they mostly wait."""
FIRST = ("soak",)
"""Modules that begin first, since they take longest."""


class Lanes:
    """Drills, run side by side in processes and networks of their own, and their results."""

    def __init__(self, chosen: dict[str, list[Drill]], *, long: bool, minutes: float | None) -> None:
        self.results: list[dict[str, Any]] = []
        self._scale = ["long" if long else "short", "" if minutes is None else str(minutes)]
        self._lock = threading.Lock()
        drills = [
            (f"{module}:{drill.name}", drill.alone)
            for module in sorted(chosen, key=lambda module: module not in FIRST)
            for drill in chosen[module]
        ]
        self._waiting = [name for name, alone in drills if not alone]
        self._alone = [name for name, alone in drills if alone]
        self._children: set[subprocess.Popen[str]] = set()
        command = ["unshare", "--net", "true"]
        self._apart = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def run(self) -> None:
        """Run everything. If this is interrupted, so are the drills."""
        number = SIDE_BY_SIDE if self._apart else 1
        lanes = [threading.Thread(target=self._lane, daemon=True) for _ in range(number)]
        try:
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
            for name in self._alone:
                self._drill(name)
            self._try_again()
        finally:
            with self._lock:
                self._waiting.clear()
                children = list(self._children)
            for child in children:
                child.terminate()
            for child in children:
                child.wait()

    def _try_again(self) -> None:
        """Run each drill that failed once more, alone; its second result counts, and the first has been printed."""
        for failed in [found for found in self.results if found["failures"]]:
            print(f"{failed['drill']}: a second try, alone", flush=True)
            self.results.remove(failed)
            self._drill(failed["drill"])

    def _lane(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                name = self._waiting.pop(0)
            self._drill(name)

    def _drill(self, name: str) -> None:
        """Run a drill, and print its line."""
        command = [sys.executable, "-m", "tests.faults.one_drill", *self._scale, name]
        environment = {**os.environ, "CANCORDER_FAULTS_APART": "1" if self._apart else ""}
        with tempfile.TemporaryFile("w+") as log:
            with self._lock:
                child = subprocess.Popen(
                    ["unshare", "--net", *command] if self._apart else command,
                    stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment,
                )  # fmt: skip
                self._children.add(child)
            text, _ = child.communicate()
            with self._lock:
                self._children.discard(child)
                found = json.loads(text) if text else _unfinished(name, child.returncode)
                self.results.append(found)
                print(table.line(found), flush=True)
                if found["failures"]:
                    log.seek(0)
                    print(log.read(), file=sys.stderr, flush=True)


def _unfinished(name: str, status: int) -> dict[str, Any]:
    return {
        "drill": name, "broken": "", "times": 0, "recovery_s": {"median": None, "worst": None}, "sent": 0,
        "received": 0, "lost": {}, "unaccounted": 0, "note": "", "figures": {},
        "failures": [f"did not end; exit status {status} of its process"],
    }  # fmt: skip


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="tests/faults/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODULE[:DRILL]")
    parser.add_argument("--long", action="store_true", help="the long form of the drills")
    parser.add_argument("--minutes", type=float, metavar="MINUTES", help="length of the soak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument("--list", action="store_true", help="print the names of the drills, and run nothing")
    arguments = parser.parse_args()
    try:
        chosen = named(arguments.names)
    except KeyError as error:
        parser.error(f"{error}: no such drill. See --list.")
    if arguments.list:
        for module, drills in chosen.items():
            for drill in drills:
                print(f"{module}:{drill.name}  {drill.breaks}")
        return 0
    began_s = time.monotonic()
    lanes = Lanes(chosen, long=arguments.long, minutes=arguments.minutes)
    print(table.HEAD, flush=True)
    lanes.run()
    lasted_s = time.monotonic() - began_s
    print(table.end(lanes.results, lasted_s))
    if arguments.json:
        arguments.json.write_text(json.dumps(lanes.results, indent=2) + "\n")
    return 1 if any(found["failures"] for found in lanes.results) else 0


if __name__ == "__main__":
    sys.exit(main())
