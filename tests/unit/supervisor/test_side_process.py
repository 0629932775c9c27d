"""A process beside the workers: started again when it fails or hangs, at once when it asks for it, ended with SIGTERM."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from typing import TYPE_CHECKING

from cancorderd.ipc.backoff import Backoff
from cancorderd.supervisor.side_process import SideProcess
from tests.support.harness import PATIENCE_S, alive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

HEAD = """
import os, signal, socket, sys, time
from cancorderd.ipc.channel import Channel
from cancorderd.ipc.messages import Heartbeat, Notice, WorkerEnd
starts, channel = sys.argv[1], Channel(socket.socket(fileno=int(sys.argv[3])))
with open(starts, "a") as file:
    file.write(f"{os.getpid()}\\n")
count = len(open(starts).read().split())
"""


class Probe:
    """A process of these lines, which know `count`, the number of starts, and `channel`."""

    def __init__(self, folder: Path, lines: str, hung_s: float = PATIENCE_S) -> None:
        self._starts = folder / "starts"
        code = HEAD + textwrap.dedent(lines)
        command = [sys.executable, "-P", "-c", code, str(self._starts)]
        self.side = SideProcess("probe", command, delays=Backoff(0.01, 0.05), hung_s=hung_s)

    def pids(self) -> list[int]:
        return [*map(int, self._starts.read_text().split())] if self._starts.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


def run(check: Coroutine[None, None, None]) -> None:
    asyncio.run(check)


def test_started_again_after_a_failure_with_the_reason(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, "channel.send(WorkerEnd('the port is taken.')); sys.exit(78)")
        probe.side.start()
        await until(lambda: probe.side.reason == "the port is taken.")
        await until(lambda: len(probe.pids()) >= 3)
        await probe.side.stop()
        assert not any(map(alive, probe.pids()))
        assert probe.side.reason == ""

    run(check())


def test_not_started_again_if_there_is_nothing_to_do(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, "sys.exit(0 if count == 2 else 75)")
        probe.side.start()
        await until(lambda: len(probe.pids()) == 2 and probe.side.pid is None)
        assert probe.side.reason == ""
        probe.side.start()  # a reload
        await until(lambda: len(probe.pids()) >= 3)
        await probe.side.stop()

    run(check())


def test_ended_in_order(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, "channel.send(Notice('info', 'up')); time.sleep(1000)")
        probe.side.start()
        await until(lambda: len(probe.pids()) == 1)
        assert probe.side.pid == probe.pids()[0]
        await probe.side.stop()
        assert not alive(probe.pids()[0])
        await probe.side.stop()

    run(check())


def test_killed_if_it_ignores_sigterm(tmp_path: Path) -> None:
    async def check() -> None:
        lines = f"""
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open({str(tmp_path / "ready")!r}, "w")
            time.sleep(1000)
        """
        probe = Probe(tmp_path, lines)
        probe.side.start()
        await until(lambda: (tmp_path / "ready").exists())
        await probe.side.stop()
        assert not alive(probe.pids()[0])

    run(check())


def test_process_without_heartbeat_is_replaced(tmp_path: Path) -> None:
    async def check() -> None:
        # The first stands still; the next sends heartbeats, so it may stay.
        lines = """
            while True:
                if count > 1:
                    channel.send(Heartbeat())
                time.sleep(0.05)
        """
        probe = Probe(tmp_path, lines, hung_s=4.0)
        probe.side.start()
        await until(lambda: len(probe.pids()) >= 2)
        assert not alive(probe.pids()[0])
        await probe.side.stop()

    run(check())


def test_program_that_is_missing_is_tried_again(tmp_path: Path) -> None:
    async def check() -> None:
        side = SideProcess("probe", [str(tmp_path / "missing")], delays=Backoff(0.01, 0.05))
        side.start()
        await until(lambda: "cannot be started" in side.reason)
        await side.stop()

    run(check())
