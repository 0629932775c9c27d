"""`cancorderctl dump` beside candump: the same lines for the same frames."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest.interfaces import cansend
from tests.lab.guest.test_socketcan_frames import CAN_FD, CLASSIC
from tests.support.harness import ROOT, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The buses have the names of their interfaces, so that the lines can be equal.
BUSES = """
[bus.vcan0]
interface = "socketcan"
channel = "vcan0"
fd = true
[bus.vcan1]
interface = "socketcan"
channel = "vcan1"
"""
FRAMES = [text for text, _ in (*CLASSIC, *CAN_FD)]
MARK = "7AA"
LAST = "7AB#DEADBEEF"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, vcans: list[str]) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), BUSES) as daemon:
        for name in ("vcan0", "vcan1"):
            daemon.wait_state(name, "running")
        yield daemon


class Output:
    """A running command whose output goes to a file."""

    def __init__(self, file: Path, command: list[str]) -> None:
        self.file = file
        with file.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    def end(self) -> list[str]:
        self.process.terminate()
        self.process.wait(20)
        return self.lines()


def both(
    daemon: Daemon, folder: Path, sources: list[str], options: list[str], frames: list[str]
) -> list[list[str]]:
    """Return the lines of candump and of dump for these frames on vcan0, in the notation of cansend(1)."""
    ctl = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket)]
    outputs = [
        Output(folder / "candump", ["candump", *options, *sources]),
        Output(folder / "dump", [*ctl, "dump", *options, *sources]),
    ]
    try:
        # A dump misses frames until it has started: marks are sent until both print them, and removed below.
        poll(lambda: _mark() and all(output.lines() for output in outputs), what="both dumps run")
        for text in (*frames, LAST):
            cansend("vcan0", text)
        poll(lambda: all("7AB" in output.lines()[-1] for output in outputs), what="the last frame")
    finally:
        found = [output.end() for output in outputs]
    return [[line for line in lines if not re.search(rf"\b{MARK}[# ]", line)] for lines in found]


def _mark() -> bool:
    cansend("vcan0", f"{MARK}#")
    return True


@pytest.mark.parametrize("options", [[], ["-L"], ["-t", "a"], ["-t", "A"], ["-L", "-t", "a"], ["-a"]])
def test_lines_equal_those_of_candump(daemon: Daemon, tmp_path: Path, options: list[str]) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0"], options, FRAMES)
    assert len(theirs) == len(FRAMES) + 1
    assert ours == theirs


@pytest.mark.parametrize("stamps", ["d", "z"])
def test_time_differences_equal_those_of_candump(daemon: Daemon, tmp_path: Path, stamps: str) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0"], ["-t", stamps], FRAMES)
    if stamps == "z":  # the first marks may differ, but not the time between lines
        assert spans(ours) == spans(theirs)
        ours, theirs = ([re.sub(r"\(\d+\.\d{6}\)", "", line) for line in lines] for lines in (ours, theirs))
    assert ours == theirs


def spans(lines: list[str]) -> list[int]:
    moments = [int(re.sub(r"\D", "", line.split()[0])) for line in lines]
    return [moment - moments[0] for moment in moments]


def test_columns_of_names_equal_those_of_candump(daemon: Daemon, tmp_path: Path) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0", "vcan1"], [], FRAMES[:3])
    assert ours == theirs


@pytest.mark.parametrize(
    "filters",
    # Mark and last frame must pass: by 7AA:7FE, if by nothing else.
    [
        "123:7FF,7AA:7FE",
        "123~7FF",
        "00000123:DFFFFFFF,7AA:7FE",
        "123:C00007FF,7AA:7FE",
        "1F0:7F0,000:7FF,7AA:7FE",
        "100:100,123~7FF,j",
    ],
)
def test_filters_pass_the_same_frames_as_with_candump(daemon: Daemon, tmp_path: Path, filters: str) -> None:
    theirs, ours = both(daemon, tmp_path, [f"vcan0,{filters}"], [], FRAMES)
    assert len(theirs) > 1
    assert ours == theirs
