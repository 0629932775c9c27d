"""Drills: the disk of the spool is full, read-only or damaged while the hub is away, or the disk of the hub is full.

The disk is a tmpfs of the gateway or the hub alone.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.fleet.chain import GATEWAY, RATE, Chain
from tests.fleet.test_drills import LONG
from tests.support.harness import PATIENCE_S, poll
from tests.support.nats_server import PROGRAM, NatsServer

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, for a mount namespace"),
]
DISK_BYTES = 8 << 20


class Disk:
    """The state folder of a gateway, on a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "gateway/state"
        script = f'mkdir -p "$0" && mount -t tmpfs -o size={DISK_BYTES} spool "$0" && exec "$@"'
        self.prefix = ["unshare", "--mount", "sh", "-c", script, str(self.folder)]
        self._process = 0

    def of(self, chain: Chain) -> Disk:
        assert chain.gateway.process
        self._process = chain.gateway.process.pid
        return self

    @property
    def spool(self) -> Path:
        """The folder of the spool, seen from outside the namespace."""
        return Path(f"/proc/{self._process}/root{self.folder}/forward/{GATEWAY}")

    def segments(self) -> list[Path]:
        return sorted(self.spool.glob("*.batches"))

    def remount(self, options: str) -> None:
        self._run("mount", "-o", f"remount,{options}", str(self.folder))

    def fill(self) -> None:
        fill(self.spool.parent / "filler")

    def empty(self) -> None:
        (self.spool.parent / "filler").unlink()

    def _run(self, *command: str) -> None:
        subprocess.run(["nsenter", f"--mount=/proc/{self._process}/ns/mnt", *command], check=True)


class HubDisk:
    """The folder of a hub's streams, on a file system of its own, which outlives the server."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._folder = server.folder / "jetstream"

    def __enter__(self) -> Self:
        script = (
            f'mkdir -p "$0" && mount -t tmpfs -o size={DISK_BYTES} hub "$0" && echo && exec sleep infinity'
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, self._folder], stdout=subprocess.PIPE
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline()
        self.filler = Path(f"/proc/{self._holder.pid}/root{self._folder}/filler")
        self._server.prefix = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder.stdout
        self._holder.stdout.close()
        self._holder.kill()
        self._holder.wait(PATIENCE_S)


def fill(path: Path) -> None:
    """Leave no byte free."""
    with path.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass


def waits_for_the_disk(chain: Chain, text: str) -> None:
    """Wait until `status` gives this reason, and expect that nothing is lost yet."""
    poll(lambda: text in chain.forward["reason"], what=f"{text!r}")
    assert not chain.forward["losing"], chain.forward
    assert chain.gateway.ctl("status").returncode == 0


@pytest.mark.parametrize(
    ("how", "reason"), [("full", "is full. Make room"), ("read-only", "is read-only. Mount it")]
)
def test_disk_of_the_spool_cannot_be_written(how: str, reason: str, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with Chain(tmp_path, keys="ram_s = 1", prefix=disk.prefix) as chain:
        disk.of(chain)
        chain.sends(RATE)
        disk.fill() if how == "full" else disk.remount("ro")
        chain.server.kill()
        waits_for_the_disk(chain, reason)
        chain.sends(RATE)
        assert not disk.segments()
        disk.empty() if how == "full" else disk.remount("rw")
        poll(disk.segments, what="batches on the disk")
        chain.gateway.wait_log("the spool can be written again")
        chain.restart_clock()
        chain.server.start()
        chain.flows()
        assert chain.judge(f"disk of the spool {how} for a while") == {}


@pytest.mark.skipif(not LONG, reason="long form only: memory holds half a minute of a full bus")
def test_disk_of_the_spool_is_full_until_frames_are_lost(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with Chain(tmp_path, keys='ram_s = 1\ncompress = "never"', prefix=disk.prefix, rate=9009) as chain:
        disk.of(chain)
        chain.sends(9009)
        disk.fill()
        chain.server.kill()
        poll(lambda: chain.forward["losing"], 200, what="frames are lost")
        assert chain.gateway.ctl("status").returncode == 3
        assert "is full. Make room" in chain.forward["reason"]
        chain.sends(5 * 9009)
        disk.empty()
        chain.restart_clock()
        chain.server.start()
        chain.flows()
        assert set(chain.judge("disk of the spool full until frames are lost")) == {"spool"}


def test_file_of_the_spool_is_damaged_in_the_middle(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with Chain(tmp_path, keys="ram_s = 1", prefix=disk.prefix) as chain:
        disk.of(chain)
        chain.sends(RATE)
        chain.server.kill()
        poll(
            lambda: disk.segments() and disk.segments()[0].stat().st_size > 20_000, what="a file of the spool"
        )
        chain.sends(RATE)
        with disk.segments()[0].open("r+b") as file:
            file.seek(10_000)
            file.write(b"\xff" * 200)
        chain.restart_clock()
        chain.server.start()
        chain.flows()
        lost = chain.judge("file of the spool damaged in the middle")
        assert set(lost) == {"spool"}
        assert 0 < lost["spool"] < RATE // 2
        forwarder = psutil.Process(chain.forward["pid"])
        assert forwarder.is_running()


def test_disk_of_the_hub_is_full_until_it_is_started_again(tmp_path: Path) -> None:
    """nats-server answers nothing to a batch that it cannot write, and writes no more when there is room again."""
    server = NatsServer(tmp_path / "hub")
    with HubDisk(server) as disk, Chain(tmp_path, server=server) as chain:
        chain.sends(RATE)
        fill(disk.filler)
        poll(lambda: "stores nothing, and does not say why" in chain.forward["reason"], what="the reason")
        assert chain.gateway.ctl("status").returncode == 3
        chain.sends(RATE)
        disk.filler.unlink()
        server.kill()
        chain.restart_clock()
        server.start()
        chain.flows()
        assert chain.judge("disk of the hub full until it is started again") == {}
        assert chain.gateway.ctl("status").returncode == 0
