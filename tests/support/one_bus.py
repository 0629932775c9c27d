"""A one-bus command as a real process, with its output in a pipe."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from tests.support.harness import PATIENCE_S, ROOT, poll

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAME = re.compile(
    r"\d\d:\d\d:\d\d\.\d{3} \[can] #\s*(\d+) (?:[TR]X )?ID=([0-9A-F]+) DLC=(\d+) DATA=([0-9a-fA-F]*) -> (\d+) client\(s\)"
)
_READY = re.compile(r"\[ready] Clients can connect to port (\d+)")


def command_line(name: str, *arguments: str) -> list[str]:
    """Return the command line for a module such as `canlogger`.

    A command's own name will not do: the ancestor may be installed under it.
    """
    return [sys.executable, "-m", f"cancorderd.cli.canlogger.{name}", *arguments]


class OneBus:
    """The running command; at the end of the `with` block, Ctrl+C ends it if nothing has before."""

    def __init__(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, reads: bool = True
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command_line(name, "--no-zeroconf", *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=ROOT, env=env, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self._reader.start()

    def start_reading(self) -> None:
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(line for line in self.lines if "DATA=" not in line)

    def wait_line(self, pattern: str, deadline_s: float = PATIENCE_S) -> str:
        """Wait for a line that matches `pattern`, and return the first."""

        def found() -> str | None:
            return next((line for line in list(self.lines) if re.search(pattern, line)), None)

        try:
            line = poll(found, deadline_s, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}; output:\n{self.text}") from None
        assert line
        return line

    def wait_port(self) -> int:
        match = _READY.search(self.wait_line(_READY.pattern))
        assert match
        return int(match[1])

    def frames(self) -> list[re.Match[str]]:
        """Return the lines of frames as matches: number, id, length, data, clients."""
        return [match for line in list(self.lines) if (match := FRAME.fullmatch(line))]

    def statistics(self) -> list[int]:
        """Return every number of the closing lines, in order: see `cli.canlogger.output_lines`."""
        lines = [line for line in self.lines if "[stats]" in line]
        return [int(number) for line in lines for number in re.findall(r": (\d+)", line.partition("]")[2])]

    def interrupt(self) -> int:
        """Press Ctrl+C and wait; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(PATIENCE_S)
        if self._reader.is_alive():
            self._reader.join(PATIENCE_S)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_S)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        if self._reader.is_alive():
            self._reader.join(PATIENCE_S)
        self.process.stdout.close()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
