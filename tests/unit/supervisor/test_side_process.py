"""A process beside the workers: started again when it fails or hangs, at once when it asks for it, ended with SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
import sys
import textwrap
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.messages import Notice
from cancorderd.supervisor.side_policy import SidePolicy
from cancorderd.supervisor.side_process import SideProcess
from tests.support.harness import PATIENCE_S, alive, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from cancorderd.ipc.messages import Message

HEAD = """
import os, select, signal, socket, sys, time
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Heartbeat, Notice, WorkerEnd
starts, channel = sys.argv[1], Channel(socket.socket(fileno=int(sys.argv[3])))
with open(starts, "a") as file:
    file.write(f"{os.getpid()}\\n")
count = len(open(starts).read().split())
"""
POLICY = SidePolicy(
    delays=Backoff(0.01, 0.05), decides_itself=True, hung_s=PATIENCE_S, first_message_within_s=PATIENCE_S
)


class Recorder:
    """Owner that remembers everything."""

    def __init__(self) -> None:
        self.events: list[str | int] = []
        self.messages: list[Message] = []
        self.lines: list[str] = []
        self.started: Callable[[], None] = lambda: None

    def on_start(self) -> None:
        self.events.append("start")
        self.started()

    def on_message(self, message: Message) -> None:
        self.events.append("message")
        self.messages.append(message)

    def on_end(self, status: int) -> None:
        self.events.append(status)

    def log(self, level: int, text: str) -> None:
        self.lines.append(text)


class Probe:
    """A process of these lines, which know `count`, the number of starts, and `channel`."""

    def __init__(self, folder: Path, lines: str, policy: SidePolicy = POLICY) -> None:
        self._starts = folder / "starts"
        code = HEAD + textwrap.dedent(lines)
        command = [sys.executable, "-P", "-c", code, str(self._starts)]
        self.owner = Recorder()
        self.side = SideProcess("probe", command, policy, self.owner)

    def pids(self) -> list[int]:
        return [*map(int, self._starts.read_text().split())] if self._starts.exists() else []


async def until(condition: Callable[[], object]) -> None:
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


def test_asked_to_end_without_a_signal(tmp_path: Path) -> None:
    async def check() -> None:
        lines = """
            os.kill(os.getpid(), signal.SIGTERM)  # from the start on, it waits until it is taken
            select.select([channel], [], [])
            (received,) = channel.receive()
            channel.send(Notice("info", type(received.message).__name__))
            channel.flush_within(10.0)
        """
        probe = Probe(tmp_path, lines, replace(POLICY, asked=True, end_within_s=PATIENCE_S))
        probe.side.start()
        await until(lambda: len(probe.pids()) == 1)
        await probe.side.stop()
        assert probe.owner.events == ["start", 0]
        assert probe.owner.lines == ["EndRequest"]

    run(check())


def test_started_at_once_before_the_end(tmp_path: Path) -> None:
    async def check() -> None:
        policy = replace(POLICY, delays=Backoff(PATIENCE_S, PATIENCE_S))
        probe = Probe(tmp_path, "sys.exit(1) if count == 1 else time.sleep(1000)", policy)
        probe.side.start()
        await until(lambda: probe.side.reason)
        assert await probe.side.started(within_s=PATIENCE_S)
        assert probe.side.running
        await until(lambda: len(probe.pids()) == 2)
        await probe.side.stop()

    run(check())


def test_that_cannot_be_started_before_the_end(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, "")
        probe.side = SideProcess("probe", [str(tmp_path / "absent")], POLICY, probe.owner)
        assert not await probe.side.started(within_s=0.2)
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


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_left_behind_to_end_by_itself(tmp_path: Path) -> None:
    async def check() -> None:
        lines = """
            channel.send(Notice("info", "up"))
            try:
                while True:
                    select.select([channel], [], [])
                    channel.receive()
            except ChannelClosed:
                time.sleep(0.1)
                open(starts + ".ended", "w")
        """
        probe = Probe(tmp_path, lines, replace(POLICY, asked=True))
        probe.side.start()
        await until(lambda: "up" in probe.owner.lines)
        await probe.side.stop(0.0, kill=False)
        assert probe.owner.lines[1:] == ["it still ends, and is left behind"]

    run(check())
    gc.collect()  # here, where its warning is expected
    poll((tmp_path / "starts.ended").exists)


def test_process_without_heartbeat_is_replaced(tmp_path: Path) -> None:
    async def check() -> None:
        # The first stands still; the next sends heartbeats, so it may stay.
        lines = """
            while True:
                if count > 1:
                    channel.send(Heartbeat())
                time.sleep(0.05)
        """
        probe = Probe(tmp_path, lines, replace(POLICY, hung_s=4.0, first_message_within_s=4.0))
        probe.side.start()
        await until(lambda: len(probe.pids()) >= 2)
        assert not alive(probe.pids()[0])
        replaced, reason = probe.owner.lines
        assert replaced == "it does not answer: it is replaced"
        assert re.fullmatch(
            r"it sent no heartbeat for \d+ s after its start and was ended; the next one starts in 0.01 s\.",
            reason,
        )
        await until(lambda: probe.owner.messages)
        assert (probe.side.reason, probe.side.restarts) == ("", 1)
        await probe.side.stop()

    run(check())


def test_program_that_is_missing_is_tried_again(tmp_path: Path) -> None:
    async def check() -> None:
        side = SideProcess("probe", [str(tmp_path / "missing")], POLICY)
        side.start()
        await until(lambda: "cannot be started" in side.reason)
        await side.stop()

    run(check())


STANDING = "channel.send(Heartbeat()); time.sleep(1000)"


def test_restart_ends_one_process_before_the_next_one_starts(tmp_path: Path) -> None:
    async def check() -> None:
        # It ends a while after SIGTERM; the next one sees whether it is alone.
        lines = f"""
            other = open(starts).read().split()[:-1]
            alone = not any(os.path.exists("/proc/" + pid) for pid in other)
            signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), sys.exit(0)))
            channel.send(Notice("info", str(alone)))
            {STANDING}
        """
        probe = Probe(tmp_path, lines)
        probe.side.start()
        for starts in (1, 2, 3):
            await until(lambda: len(probe.owner.messages) == starts)  # noqa: B023 - it is awaited here
            assert probe.side.running
            probe.side.restart()
            assert not probe.side.running
            probe.side.restart()
        await until(lambda: len(probe.owner.messages) == 4)
        assert probe.owner.lines == ["True"] * 4
        assert probe.owner.events == ["start", "message", 0] * 3 + ["start", "message"]
        assert probe.side.restarts == 0
        await probe.side.stop()

    run(check())


def test_restart_waits_for_no_delay(tmp_path: Path) -> None:
    async def check() -> None:
        policy = replace(POLICY, delays=Backoff(1000.0, 1000.0), refused_s=1000.0)
        lines = f"""
            if count == 1:
                sys.exit(3)
            if count == 2:
                channel.send(WorkerEnd("the library is missing.")); sys.exit(78)
            {STANDING}
        """
        probe = Probe(tmp_path, lines, policy)
        probe.side.start()
        await until(lambda: "ended with status 3" in probe.side.reason)
        probe.side.restart()
        assert probe.side.reason == ""
        await until(lambda: probe.side.reason == "the library is missing.")
        assert probe.side.restarts == 1, "a refusal is no crash"
        probe.side.restart()
        await until(lambda: probe.owner.messages)
        await probe.side.stop()

    run(check())


def test_start_waits_for_no_delay(tmp_path: Path) -> None:
    """As after a reload: the reason of the failure may be gone."""

    async def check() -> None:
        policy = replace(POLICY, delays=Backoff(1000.0, 1000.0))
        probe = Probe(tmp_path, f"if count == 1: sys.exit(3)\n{STANDING}", policy)
        probe.side.start()
        await until(lambda: "ended with status 3" in probe.side.reason)
        probe.side.start()
        await until(lambda: probe.owner.messages)
        probe.side.start()
        await asyncio.sleep(0)
        assert len(probe.pids()) == 2, "one that runs, runs on"
        await probe.side.stop()

    run(check())


def test_start_of_a_process_that_has_just_found_itself_unwanted(tmp_path: Path) -> None:
    """As a reload that brings [web] while the process that has seen none yet is ending."""

    async def check() -> None:
        lines = """
            if count == 1:
                channel.send(Heartbeat())
                signal.pause()  # as if it ended slowly
            if count == 2:
                channel.send(Heartbeat())
                time.sleep(1000)
        """
        probe = Probe(
            tmp_path, f"signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))\n{textwrap.dedent(lines)}"
        )
        probe.side.start()
        await until(lambda: probe.owner.messages)
        probe.side.start()
        os.kill(probe.pids()[0], signal.SIGUSR1)
        await until(lambda: len(probe.owner.messages) == 2)
        await probe.side.stop()
        assert probe.owner.events == ["start", "message", 0, "start", "message", -15]

    run(check())


def test_process_that_is_not_wanted_any_more_and_then_again(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, STANDING)
        probe.side.start()
        await until(lambda: probe.owner.messages)
        probe.side.end()
        await until(lambda: probe.side.pid is None)
        assert probe.owner.events == ["start", "message", -15]
        probe.side.restart()
        await until(lambda: len(probe.owner.messages) == 2)
        probe.side.end()
        probe.side.restart()  # before it has ended
        await until(lambda: len(probe.owner.messages) == 3)
        await probe.side.stop()
        assert not any(map(alive, probe.pids()))
        assert probe.owner.events == ["start", "message", -15] * 3

    run(check())


def test_stop_kills_a_process_that_was_requested_to_end_before(tmp_path: Path) -> None:
    async def check() -> None:
        lines = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {STANDING}"
        probe = Probe(tmp_path, lines, replace(POLICY, end_within_s=1000.0))
        probe.side.start()
        await until(lambda: probe.owner.messages)
        probe.side.restart()
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await probe.side.stop(within_s=0.1)
        assert time.monotonic() - began_s < PATIENCE_S
        assert (probe.owner.events, alive(probe.pids()[0])) == (["start", "message", -9], False)

    run(check())


def test_process_that_decides_nothing_is_started_again_whatever_its_status(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, "sys.exit(0)", replace(POLICY, decides_itself=False))
        probe.side.start()
        await until(lambda: probe.side.restarts >= 2)
        await probe.side.stop()

    run(check())


def test_messages_and_sockets_in_both_directions(tmp_path: Path) -> None:
    async def check() -> None:
        lines = """
            select.select([channel], [], [])
            (received,) = channel.receive()
            socket.socket(fileno=received.descriptors[0]).sendall(received.message.text.encode())
            time.sleep(1000)
        """
        probe = Probe(tmp_path, lines)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        def on_start() -> None:
            assert probe.side.running
            probe.side.send(Notice("info", "hello"), theirs)
            assert theirs.fileno() == -1

        probe.owner.started = on_start
        probe.side.start()
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.get_running_loop().sock_recv(ours, 100) == b"hello"
        await probe.side.stop()
        ours.close()

    run(check())


def test_owner_that_fails_costs_one_process_and_no_supervision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, STANDING)
        starts: list[int] = []

        def on_start() -> None:
            starts.append(probe.side.pid or 0)
            if len(starts) == 1:
                raise KeyError("bus")

        probe.owner.started = on_start
        probe.side.start()
        await until(lambda: probe.owner.messages)
        assert "KeyError: 'bus'" in probe.owner.lines[0]
        assert "this is a bug" in caplog.text
        await until(lambda: not alive(starts[0]))
        await probe.side.stop()

    run(check())


def test_first_message_has_a_time_of_its_own(tmp_path: Path) -> None:
    async def check() -> None:
        probe = Probe(tmp_path, f"time.sleep(0.5); {STANDING}", replace(POLICY, hung_s=0.3))
        probe.side.start()
        await until(lambda: -9 in probe.owner.events)
        assert probe.owner.events[:3] == ["start", "message", -9], (
            "replaced after its first message, not before"
        )
        await probe.side.stop()

    run(check())
