"""`cancorderctl dump` beside candump: the same frames, word for word the same lines."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness import ROOT, Daemon, poll
from tests.lab.guest.interfaces import cansend
from tests.lab.guest.test_socketcan_frames import CAN_FD, CLASSIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Named as their interfaces, so that the lines can be the same.
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
    """A command's lines in a file, for as long as they are read."""

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
    """What candump and dump print of these frames on vcan0, in the notation of cansend(1)."""
    ctl = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket)]
    outputs = [
        Output(folder / "candump", ["candump", *options, *sources]),
        Output(folder / "dump", [*ctl, "dump", *options, *sources]),
    ]
    try:
        # Until each is there, frames pass it by: the marks tell, and are left out below.
        poll(lambda: _mark() and all(one.lines() for one in outputs), what="both dumps run")
        for text in (*frames, LAST):
            cansend("vcan0", text)
        poll(lambda: all(one.lines() and "7AB" in one.lines()[-1] for one in outputs), what="the last frame")
    finally:
        found = [one.end() for one in outputs]
    return [[line for line in lines if not re.search(rf"\b{MARK}[# ]", line)] for lines in found]


def _mark() -> bool:
    cansend("vcan0", f"{MARK}#")
    return True


@pytest.mark.parametrize("options", [[], ["-L"], ["-t", "a"], ["-t", "A"], ["-L", "-t", "a"]])
def test_lines_are_those_of_candump(daemon: Daemon, tmp_path: Path, options: list[str]) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0"], options, FRAMES)
    assert len(theirs) == len(FRAMES) + 1
    assert ours == theirs


@pytest.mark.parametrize("stamps", ["d", "z"])
def test_spans_of_time_are_those_of_candump(daemon: Daemon, tmp_path: Path, stamps: str) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0"], ["-t", stamps], FRAMES)
    if stamps == "z":  # their first marks need not be the same: the spans between lines are
        assert spans(ours) == spans(theirs)
        ours, theirs = ([re.sub(r"\(\d+\.\d{6}\)", "", line) for line in lines] for lines in (ours, theirs))
    assert ours == theirs


def spans(lines: list[str]) -> list[int]:
    moments = [int(re.sub(r"\D", "", line.split()[0])) for line in lines]
    return [moment - moments[0] for moment in moments]


def test_names_are_in_columns_as_with_candump(daemon: Daemon, tmp_path: Path) -> None:
    theirs, ours = both(daemon, tmp_path, ["vcan0", "vcan1"], [], FRAMES[:3])
    assert ours == theirs


@pytest.mark.parametrize(
    "filters",
    # Mark and last frame must pass, by 7AA:7FE where nothing else lets them.
    [
        "123:7FF,7AA:7FE",
        "123~7FF",
        "00000123:DFFFFFFF,7AA:7FE",
        "123:C00007FF,7AA:7FE",
        "1F0:7F0,000:7FF,7AA:7FE",
        "100:100,123~7FF,j",
    ],
)
def test_filters_pass_what_they_pass_with_candump(daemon: Daemon, tmp_path: Path, filters: str) -> None:
    theirs, ours = both(daemon, tmp_path, [f"vcan0,{filters}"], [], FRAMES)
    assert len(theirs) > 1
    assert ours == theirs
