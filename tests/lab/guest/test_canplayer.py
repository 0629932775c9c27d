"""canplayer replays the logs of `cancorderctl dump -L`, whatever names buses have."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.lab.guest.interfaces import cansend
from tests.support.harness import PATIENCE_S, ROOT, Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path

BUS = "powertrain_left_front"
CONFIG = f"""
[bus.{BUS}]
interface = "socketcan"
channel = "vcan0"
fd = true
"""
FRAMES = ("123#1122", "00000123#AA", "1F0##5AB", "7FF#")


def replayed(log: Path, folder: Path) -> list[str]:
    """Replay a log from our bus to vcan1; return the frames that candump prints there."""
    output = folder / f"{log.name}.candump"
    with output.open("w") as out:
        candump = subprocess.Popen(["candump", "-L", "vcan1"], stdout=out)
    try:
        poll(lambda: _mark() and output.stat().st_size, what="candump runs")
        player = subprocess.run(
            ["canplayer", "-t", "-I", str(log), "vcan1=powertrain_left"],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert (player.returncode, player.stderr) == (0, "")
        cansend("vcan1", "7AB#")
        poll(lambda: "7AB#" in output.read_text(), what="the last frame")
    finally:
        candump.terminate()
        candump.wait(20)
    found = [line.split()[2] for line in output.read_text().splitlines()]
    return [text for text in found if text not in ("7AA#", "7AB#")]


def _mark() -> bool:
    cansend("vcan1", "7AA#")
    return True


def test_log_of_a_bus_with_a_long_name_is_replayed(tmp_path: Path, vcans: list[str]) -> None:
    del vcans
    with Daemon(tmp_path, CONFIG) as daemon:
        daemon.wait_state(BUS, "running")
        log = tmp_path / "drive.log"
        ctl = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket)]
        with log.open("w") as out:
            dump = subprocess.Popen([*ctl, "dump", "-L", BUS], stdout=out, cwd=ROOT)
        try:
            poll(lambda: daemon.bus(BUS)["clients"], what="dump is connected")
            for text in FRAMES:
                cansend("vcan0", text)
            poll(lambda: log.read_text().count("\n") >= len(FRAMES), what="the frames are written")
        finally:
            dump.terminate()
            dump.wait(20)
    assert {line.split()[1] for line in log.read_text().splitlines()} == {"powertrain_left"}
    assert replayed(log, tmp_path) == list(FRAMES)
