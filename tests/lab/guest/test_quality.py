"""`cancorderctl verify` beside `mcandump --quality-test`: one judgement of the same frames on vcan."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cancorderd.protocol.quality_frame import classic_payload, fd_payload
from cancorderd.python_command import python_command
from tests.support.harness import PATIENCE_S, ROOT, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

CRATES = Path("/out/crates")
BUS = '[bus.car]\ninterface = "socketcan"\nchannel = "vcan0"\n'
CLASSIC_FRAME = struct.Struct("=IB3x8s")
"""struct can_frame (linux/can.h)."""
FD_FRAME = struct.Struct("=IBB2x64s")
"""struct canfd_frame."""


class Judgement(NamedTuple):
    received: int
    missing: int
    duplicated: int
    reordered: int
    corrupt: int


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder of mcandump and mcangen."""
    if not (CRATES / "bin/mcandump").exists():
        reason = CRATES / "missing"
        pytest.skip(
            f"mcandump and mcangen are missing: {reason.read_text() if reason.exists() else 'run tests/lab/run'}"
        )
    return CRATES / "bin"


@contextmanager
def judges(tools: Path, folder: Path, count: int) -> Iterator[list[Judgement]]:
    """Let both judge the next `count` frames of 0x700; yields a list that afterwards holds both judgements."""
    found: list[Judgement] = []
    with Daemon(folder, BUS) as daemon:
        daemon.wait_state("car", "running")
        verify = subprocess.Popen(
            [
                *python_command("cancorderd.cli.cancorderctl"), "--socket", str(daemon.socket),
                "verify", "car", "--id", "0x700", "--count", str(count), "--json",
            ],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        mcandump = subprocess.Popen(
            [
                str(tools / "mcandump"), "vcan0", "--quiet", "--no-color", "--quality-test", "--quality-id", "0x700",
                "--quality-interval", "0", "--quality-strict",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            poll(lambda: daemon.bus("car")["clients"], what="verify is connected")
            poll(lambda: receivers() >= 2, what="mcandump listens")
            yield found
            output, _ = verify.communicate(timeout=PATIENCE_S)
            mcandump.send_signal(signal.SIGINT)
            _, report = mcandump.communicate(timeout=PATIENCE_S)
        finally:
            verify.kill()
            mcandump.kill()
    answer = json.loads(output)
    found += [Judgement(*(answer[key] for key in Judgement._fields)), of_mcandump(report)]
    right = found[0][1:] == (0, 0, 0, 0)
    assert (verify.returncode, mcandump.returncode) == ((0, 0) if right else (1, 2)), report


def receivers() -> int:
    return sum(
        line.strip().startswith("vcan0")
        for line in Path("/proc/net/can/rcvlist_all").read_text().splitlines()
    )


def of_mcandump(report: str) -> Judgement:
    corrupt = re.search(r"quality final: .* corrupt=(\d+)", report)
    stream = re.search(r"0x700 test=\d+ \S+: ok=(\d+) missing=(\d+) dup=(\d+) reorder=(\d+)", report)
    assert corrupt, report
    assert stream, report
    received, missing, duplicated, reordered = map(int, stream.groups())
    return Judgement(received, missing, duplicated, reordered, int(corrupt[1]))


def send(frames: list[bytes], *, fd: bool) -> None:
    form = FD_FRAME if fd else CLASSIC_FRAME
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender:
        sender.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        sender.bind(("vcan0",))
        for data in frames:
            sender.send(form.pack(0x700, len(data), *([0] if fd else []), data))


def test_frames_of_mcangen_are_judged_alike(tools: Path, vcan0: str, tmp_path: Path) -> None:
    with judges(tools, tmp_path, 2000) as found:
        subprocess.run(
            [
                str(tools / "mcangen"), vcan0, "--data-mode", "quality-test", "--id", "0x700", "--test-id", "9",
                "-r", "500", "-n", "2000", "--quiet",
            ],
            check=True, timeout=PATIENCE_S,
        )  # fmt: skip
    assert found == [Judgement(2000, 0, 0, 0, 0)] * 2


@pytest.mark.usefixtures("vcan0")
@pytest.mark.parametrize("fd", [False, True])
def test_damage_is_judged_alike(tools: Path, tmp_path: Path, *, fd: bool) -> None:
    numbers = [*range(65_500, 65_600), 65_603, 65_603, 65_604, 65_602, *range(65_605, 65_700)]
    frames = [
        fd_payload(number, 1000 * number, 3, 64) if fd else classic_payload(number, 1000 * number, 3)
        for number in numbers
    ]
    frames[50] = frames[50][:-1] + bytes([frames[50][-1] ^ 1])
    frames.insert(20, bytes(8))
    with judges(tools, tmp_path, len(frames)) as found:
        send(frames, fd=fd)
    assert found == [Judgement(len(numbers) - 1, 4, 1, 1, 2)] * 2
