"""A machine of `tests/lab/machine` whose power can be cut: it is killed as a process of the host.

It loses all that its kernel had not put on its disk, a file in the folder that it shares with the host. With the standard
library alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
BOOT_S = 300.0
"""From the start of a machine to whatever it is started for."""


def poll(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + BOOT_S
    while not condition():
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {BOOT_S:.0f} s: {what}")
        time.sleep(0.05)


class PoweredMachine:
    """A machine that runs `script` at each boot; it has the folder `out` as /out."""

    def __init__(self, script: str, out: Path, *, kernel: str = "") -> None:
        """`script` is a file in `guest`; `kernel` a further word for the kernel, see `machine`."""
        self.out = out.resolve()
        self.log = self.out / "log"
        """Output of all boots."""
        self.running: subprocess.Popen[bytes] | None = None
        self._script = HERE / "guest" / script
        self._kernel = kernel

    def boot(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, and let its script have these arguments."""
        self.out.mkdir(parents=True, exist_ok=True)
        command = [str(HERE / "machine"), "run", "-t", str(2 * BOOT_S), str(self._script), *arguments]
        environment = {**os.environ, "LAB_OUT": str(self.out), "LAB_KERNEL": self._kernel}
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        return self.running

    def cut(self) -> None:
        """Kill it, its kernel first, and wait until nothing of it is left."""

        def gone() -> bool:
            for pid in self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self._processes()

        poll(gone, "the machine is dead")
        if self.running:
            self.running.terminate()  # it has nothing to wait for, and would report a machine that does not answer
            self.running.wait()

    def assert_runs(self) -> None:
        """Raise AssertionError if it has ended by itself."""
        if self.running and self.running.poll() is not None:
            raise AssertionError(f"the machine has ended; its status is {self.running.returncode}")

    def _processes(self) -> list[int]:
        """Return its processes, the oldest of which is its kernel."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"lab.out={self.out}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                    began = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
                    found.append((began, int(folder.name)))
        return [pid for _, pid in sorted(found)]
