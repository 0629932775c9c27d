"""Drills of a disk that is slow or does not answer: a real file system, whose block device the device mapper delays or suspends."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING

from tests.faults import table
from tests.faults.disk import finish, recorded_bus, recording, wait_recording
from tests.faults.drill import Result, Row
from tests.support.harness import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

RATE = 100
"""Frames per second: the machine's processor is slow."""
DELAY_MS = 400
"""Of each write and each flush: to put a second's frames on the disk takes several of them."""
SLOW_S = 15.0
HANGS_S = 10.0
NAME = "drill"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def disk(folder: Path, delay_ms: int) -> Iterator[Path]:
    """Mount a disk of 64 MiB with this delay over `folder`/disk."""
    image, mounted = folder / "image", folder / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", image)
    mounted.mkdir()
    device = run("losetup", "--find", "--show", image)
    sectors = run("blockdev", "--getsz", device)
    run("dmsetup", "create", NAME, "--table", f"0 {sectors} delay {device} 0 {delay_ms}")
    try:
        run("mount", "-t", "ext4", f"/dev/mapper/{NAME}", mounted)
        try:
            yield mounted
        finally:
            run("umount", mounted)
    finally:
        run("dmsetup", "remove", "--retry", NAME)
        run("losetup", "--detach", device)


def passes(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    poll(lambda: time.monotonic() > end_s, what="the time of the fault")


def show(name: str, breaks: str, row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the row, and fail if a promise did not hold."""
    row.note = f"{RATE} frames/s, since the machine is slow; {row.note}"
    with capsys.disabled():
        print("\n" + table.HEAD + "\n" + table.line(Result(f"disk:{name}", breaks, row).as_json()))
    assert not row.failures


def test_disk_is_slow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = Row(times=1)
    with disk(tmp_path, DELAY_MS) as slow, recorded_bus(tmp_path, slow, rate=RATE) as bus:
        passes(SLOW_S)
        wait_recording(row, bus)
        finish(row, bus, slow)
        row.expect(not row.lost, "frames were dropped, though there is room for them")
    row.note = f"each write takes {DELAY_MS / 1000} s longer"
    show("slow-device", "the block device is slow (dm-delay)", row, capsys)


def test_disk_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = Row(times=1)
    with disk(tmp_path, 0) as dead, recorded_bus(tmp_path, dead, rate=RATE) as bus:
        run("dmsetup", "suspend", "--nolockfs", "--noflush", NAME)
        try:
            passes(HANGS_S)
            bus.wait_flow()
            row.expect(bool(recording(bus)["reason"]), "the status does not say that the recorder hangs")
        finally:
            run("dmsetup", "resume", NAME)
        wait_recording(row, bus)
        finish(row, bus, dead)
        row.expect(not row.lost, "frames were dropped, though there is room for them")
    row.note = f"the block device hangs for {HANGS_S:.0f} s"
    show("dead-device", "the block device does not answer (dmsetup suspend)", row, capsys)
