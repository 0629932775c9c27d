"""Error frames of the kernel and remote frames: `dump --errors` prints what candump prints, and nothing else sees them.

Also frames that CAN does not have, which any program can send on vcan.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.lab.guest.interfaces import cansend
from tests.support.harness import PATIENCE_S, ROOT, Client, Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = [
    "123#0102",
    "20000004#0004000000000000",
    "124#R4",
    "20000044#000C000000008800",
    "00012345#R",
    "20000080#0000000000000000",
    "125#03",
]
LAST = "7AB#DEADBEEF"


def send_fd(interface: str, length: int) -> None:
    """Send a CAN FD frame of any length: the kernel only looks whether it is more than 64."""
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sock:
        sock.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        sock.bind((interface,))
        sock.send(struct.pack("=IBB2x64s", 0x1F0, length, 0, bytes(64)))


def output_of(file: Path, command: list[str]) -> subprocess.Popen[bytes]:
    with file.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)


def test_error_and_remote_frames_beside_candump(tmp_path: Path, vcan0: str) -> None:
    recordings = tmp_path / "recordings"
    buses = (
        f'[bus.vcan0]\ninterface = "socketcan"\nchannel = "{vcan0}"\n'
        f'record = {{ errors = true, directory = "{recordings}" }}\n'
    )
    with Daemon(tmp_path, buses) as daemon:
        port = daemon.wait_state("vcan0", "running")["port"]
        dump = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket), "dump"]
        programs = [
            (tmp_path / "ours", [*dump, "vcan0", "--errors"]),
            (tmp_path / "ours-log", [*dump, "vcan0", "--errors", "-L"]),
            (tmp_path / "candump", ["stdbuf", "-oL", "candump", "vcan0,0:0,#FFFFFFFF"]),
            (tmp_path / "candump-log", ["stdbuf", "-oL", "candump", "-L", "vcan0,0:0,#FFFFFFFF"]),
        ]
        running = [output_of(file, command) for file, command in programs]
        try:
            with Client(port) as viewer:

                def seen_by_all() -> bool:
                    cansend(vcan0, "7AA#")
                    return all(file.read_text() for file, _ in programs) and len(viewer.frames) > 0

                poll(seen_by_all, what="every program has a frame")
                for length in (9, 63):
                    send_fd(vcan0, length)
                for frame in [*FRAMES, LAST]:
                    cansend(vcan0, frame)
                poll(
                    lambda: all("7AB" in file.read_text() for file, _ in programs),
                    what="the last frame everywhere",
                )
                poll(lambda: viewer.frames[-1].arbitration_id == 0x7AB, what="the last frame at the viewer")
                assert {frame.arbitration_id for frame in viewer.frames} == {0x7AA, 0x123, 0x125, 0x7AB}
            poll(
                lambda: daemon.bus("vcan0")["recording"]["errors"] == 5, what="the recorder has written them"
            )
            counts = daemon.bus("vcan0")["frames"]
            assert (counts["error"], counts["remote"]) == (5, 2), "three error frames, two frames of CAN FD"
        finally:
            for process in running:
                process.terminate()
                process.wait(PATIENCE_S)
    ours, ours_log, candump, candump_log = (
        [line for line in file.read_text().splitlines() if "7AA" not in line and "1F0" not in line]
        for file, _ in programs
    )
    assert ours == candump
    assert [line.split(" ", 1)[1] for line in ours_log] == [line.split(" ", 1)[1] for line in candump_log]
    (file,) = recordings.iterdir()
    recorded = [line.split(" ")[2] for line in file.read_text().splitlines()]
    assert [line for line in recorded if not line.startswith("7AA")] == [*FRAMES, LAST]
