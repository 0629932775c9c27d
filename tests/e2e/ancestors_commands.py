"""Every command line in the ancestor's README (`ancestors_readme.txt`, word for word), and a shell to try it.

`python3 utils/canlogger.py` is read as `cancorder-canlogger`, and so on; nothing else is changed. `Needs` decides
which tests run a line.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Self

from tests.support.harness import PATIENCE_S, ROOT, poll

README = (Path(__file__).with_name("ancestors_readme.txt")).read_text()
NAMES = ("cancorder-canlogger", "cancorder-rusoku-canlogger", "cancorder-mock-uds-canlogger")
_LOGGER = re.compile(r"(?:sudo )?(?:python3 utils/\w+\.py|cancorder-[a-z-]+)\b(?: [^\n`#]*)?")
_SETUP = re.compile(r"(?:sudo (?:ip|modprobe)|ip link show) [^\n`]*")


class Needs(enum.Enum):
    NOTHING = "no adapter"
    TOUCAN = "a TouCAN and its library"
    SERIAL = "a serial adapter under the name in the line"
    SOCKETCAN = "an interface of the kernel"
    GS_USB = "a gs_usb adapter"


def needs(line: str) -> Needs:
    if "mock" in line:
        return Needs.NOTHING
    if "rusoku" in line:
        return Needs.TOUCAN
    for word, need in (("slcan", Needs.SERIAL), ("socketcan", Needs.SOCKETCAN)):
        if word in line:
            return need
    return Needs.GS_USB


def found() -> list[str]:
    """Return every line that starts a logger, as the README writes it; repeated lines repeatedly."""
    return [_alone(match[0]) for match in _LOGGER.finditer(README)]


def _alone(text: str) -> str:
    """Return the command without the next item of a list: the README's text lacks some line ends."""
    return text.partition(" - ")[0].strip()


def ours(line: str) -> str:
    """Return the line with our commands in place of the ancestor's files."""
    return re.sub(r"python3 utils/(\w+)\.py", lambda match: f"cancorder-{match[1].replace('_', '-')}", line)


def lines(*wanted: Needs) -> list[str]:
    """Return every line that starts a logger and needs one of `wanted`; without `wanted`, all lines."""
    distinct = dict.fromkeys(map(ours, found()))
    return [line for line in distinct if not wanted or needs(line) in wanted]


def setup_lines() -> list[str]:
    """Return the lines that set up CAN interfaces, in their order."""
    return list(dict.fromkeys(_alone(match[0]) for match in _SETUP.finditer(README)))


def install(folder: Path) -> None:
    """Write the three commands of this checkout into `folder`, for a shell that searches it."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name in NAMES:
        module = scripts[name].partition(":")[0]
        path = folder / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m {module} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


class Shell:
    """A line that a shell runs. The end of the `with` block ends its processes."""

    def __init__(self, line: str, path: Path | None = None) -> None:
        environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
        self.line = line
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_line(self, pattern: str) -> re.Match[str]:
        def seen() -> re.Match[str] | None:
            ended = not self._reader.is_alive()
            match = next((match for line in list(self.lines) if (match := re.search(pattern, line))), None)
            assert match or not ended, "it has ended"
            return match

        try:
            match = poll(seen, PATIENCE_S, pattern)
        except AssertionError as error:
            output = "\n".join(self.lines[-30:])
            raise AssertionError(f"{self.line}: {error}; its output:\n{output}") from None
        assert match
        return match

    def wait_port(self) -> int:
        return int(self.wait_line(r"\[ready] Clients can connect to port (\d+)")[1])

    def end(self) -> None:
        """End it with Ctrl+C, or with kill if it runs in the background (&), and check its last lines."""
        beside = self.line.endswith("&")
        self.signal(signal.SIGTERM if beside else signal.SIGINT)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), self.lines[-5:]
        # The shell itself may have died of Ctrl+C.
        assert self.process.wait(PATIENCE_S) in (0, -signal.SIGINT), self.lines[-5:]
        self.wait_line(r"\[exit] Shutting down\.\.\.")
        self.wait_line(r"\[stats] Frames sent: [1-9]\d*, dropped: 0, bytes: [1-9]\d*")

    def signal(self, number: signal.Signals) -> None:
        # The shell's process group holds the shell and its processes only.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGTERM)
        self._reader.join(PATIENCE_S)
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout
        self.process.stdout.close()
