"""The clients of contrib/examples, and the reference for what they print."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from cancorderd.frame import EXTENDED, FD
from tests.contrib.tools import needed
from tests.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.frame import Frame

EXAMPLES = ROOT / "contrib/examples"
NAMES = ("python_with_package.py", "python_alone.py", "client.c", "client.js")


def command(name: str, folder: Path) -> list[str]:
    """How to run an example, once it is compiled into `folder` where it has to be."""
    if name.endswith(".py"):
        return [sys.executable, str(EXAMPLES / name)]
    if name.endswith(".js"):
        needed("node")
        return ["node", str(EXAMPLES / name)]
    needed("gcc")
    made = folder / "client"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", made, EXAMPLES / name], check=True, timeout=60)
    return [str(made)]


def line(frame: Frame) -> str:
    """What an example prints for `frame`."""
    seconds, microseconds = divmod(frame.timestamp_us, 1_000_000)
    digits = 8 if frame.flags & EXTENDED else 3
    mark = f"##{frame.flags >> 2}" if frame.flags & FD else "#"
    return f"({seconds}.{microseconds:06}) {frame.arbitration_id:0{digits}X}{mark}{frame.data.hex().upper()}"


def stand_in_a_row(printed: list[str], frames: list[Frame]) -> bool:
    """Whether the lines are those of `frames`, from some frame on, without a gap."""
    lines = [line(frame) for frame in frames]
    start = lines.index(printed[0]) if printed and printed[0] in lines else len(lines)
    return bool(printed) and lines[start : start + len(printed)] == printed
