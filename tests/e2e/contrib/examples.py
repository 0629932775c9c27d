"""The clients of contrib/examples, and the reference for their output."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import EXTENDED, FD
from tests.e2e.contrib.tools import require_commands
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.protocol.frame import Frame

EXAMPLES = ROOT / "contrib/examples"
NAMES = ("python_with_package.py", "python_alone.py", "client.c", "client.js")


def command(name: str, folder: Path) -> list[str]:
    """Return the command that runs an example, compiled into `folder` if necessary."""
    if name.endswith(".py"):
        return [sys.executable, str(EXAMPLES / name)]
    if name.endswith(".js"):
        require_commands("node")
        return ["node", str(EXAMPLES / name)]
    require_commands("gcc")
    program = folder / "client"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, EXAMPLES / name], check=True, timeout=60)
    return [str(program)]


def line(frame: Frame) -> str:
    """Return the line that an example prints for `frame`."""
    seconds, microseconds = divmod(frame.timestamp_us, 1_000_000)
    digits = 8 if frame.flags & EXTENDED else 3
    mark = f"##{frame.flags >> 2}" if frame.flags & FD else "#"
    return f"({seconds}.{microseconds:06}) {frame.arbitration_id:0{digits}X}{mark}{frame.data.hex().upper()}"


def stand_in_a_row(printed: list[str], frames: list[Frame]) -> bool:
    """Return whether the lines match `frames`, from any frame on, without a gap."""
    lines = [line(frame) for frame in frames]
    start = lines.index(printed[0]) if printed and printed[0] in lines else len(lines)
    return bool(printed) and lines[start : start + len(printed)] == printed
