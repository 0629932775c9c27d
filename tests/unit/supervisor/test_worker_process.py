"""Worker processes: a small program in place of a worker, with a real channel and real signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.ipc.messages import ClientHandover, Counts, Notice, WorkerEnd, WorkerStart
from cancorderd.supervisor.child_process import end_fact, not_started_reason
from cancorderd.supervisor.worker_process import HeldClient, WorkerProcess
from tests.support.descriptors import free_descriptors
from tests.support.harness import PATIENCE_S, ROOT
from tests.unit.supervisor.fakes import in_event_loop, until
from tests.unit.worker.streams import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cancorderd.ipc.channel import ReceivedMessage

PROGRAM = """
import os, select, signal, socket, sys, time
sys.path.insert(0, ROOT)
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import BusReport, ClientHandover, Counts, Notice, WorkerEnd

bus, option, descriptor = sys.argv[1:]
assert option == "--channel"
channel = Channel(socket.socket(fileno=int(descriptor)))

def receive(count):
    found = []
    while len(found) < count:
        select.select([channel], [], [])
        found += channel.receive()
    return found

BODY
"""
SETTINGS = WorkerStart('{"name": "body"}', Counts(received=3), 0)


class Run:
    """One run of a program as a worker."""

    def __init__(self, body: str) -> None:
        self.messages: list[ReceivedMessage] = []
        self.statuses: list[int] = []
        self.order: list[str] = []
        """Kinds of messages, and the exit, as they came."""
        program = PROGRAM.replace("ROOT", repr(str(ROOT))).replace("BODY", body)
        self.worker = WorkerProcess(self._on_message, self._on_exit, command=(sys.executable, "-c", program))

    def _on_message(self, received: ReceivedMessage) -> None:
        self.messages.append(received)
        self.order.append(type(received.message).__name__)

    def _on_exit(self, status: int) -> None:
        self.statuses.append(status)
        self.order.append("exit")

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.worker.wait()

    def notices(self) -> list[str]:
        return [received.message.text for received in self.messages if isinstance(received.message, Notice)]


@in_event_loop
async def test_messages_arrive_before_the_exit_status_which_comes_once() -> None:
    run = Run("""
channel.send(BusReport("running", "", None, Counts(), [], {}))
channel.send(WorkerEnd("unplugged"))
sys.exit(74)
""")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    assert (run.order, run.statuses) == (["BusReport", "WorkerEnd", "exit"], [74])


@in_event_loop
async def test_the_program_gets_its_bus_settings_and_listening_sockets() -> None:
    run = Run("""
(first,) = receive(1)
port = socket.socket(fileno=first.descriptors[0]).getsockname()[1]
channel.send(Notice("info", f"{bus} {first.message.settings} {first.message.earlier.received} {port}"))
""")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run.worker.start("body", SETTINGS, [listener], [])
        await run.wait()
        assert run.notices() == [f'body {{"name": "body"}} 3 {listener.getsockname()[1]}']
    assert run.statuses == [0]


@in_event_loop
async def test_the_program_gets_listening_sockets_that_come_later() -> None:
    run = Run("""
first, later = receive(2)
port = socket.socket(fileno=later.descriptors[0]).getsockname()[1]
channel.send(Notice("info", f"{type(later.message).__name__} {port}"))
""")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run.worker.listen([listener])  # before the start, nobody is there to get it
        run.worker.start("body", SETTINGS, [], [])
        run.worker.listen([listener])
        await run.wait()
        assert run.notices() == [f"NewListeners {listener.getsockname()[1]}"]
        run.worker.listen([listener])  # nor after the end
    assert run.statuses == [0]


@in_event_loop
async def test_clients_are_passed_with_megabytes_of_unsent_bytes() -> None:
    run = Run("""
first, second = receive(2)
client = socket.socket(fileno=second.descriptors[0])
client.sendall(b"from the worker")
channel.send(Notice("info", f"{second.message.address} {len(second.payload)}"))
""")
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE_S)
    with ours, theirs:
        handover = ClientHandover("10.0.0.7:40001", 0.0, 0, 0, 0)
        run.worker.start("body", SETTINGS, [], [HeldClient(handover, ours, bytes(8 << 20))])
        await run.wait()
        assert theirs.recv(100) == b"from the worker"
    assert run.notices() == [f"10.0.0.7:40001 {8 << 20}"]


@in_event_loop
async def test_the_latest_message_sets_the_time_of_the_heartbeat() -> None:
    run = Run('channel.send(Notice("info", "alive")); receive(1); time.sleep(0.01); receive(2)')
    assert run.worker.last_message_s is None
    before = time.monotonic()
    run.worker.start("body", SETTINGS, [], [])
    await until(lambda: run.messages)
    assert run.worker.last_message_s
    assert run.worker.last_message_s > before
    assert run.worker.pid
    run.worker.signal(signal.SIGKILL)
    await run.wait()
    assert run.statuses == [-signal.SIGKILL]


@in_event_loop
async def test_a_signal_right_after_the_start_reaches_the_process() -> None:
    run = Run("time.sleep(60)")
    run.worker.start("body", SETTINGS, [], [])
    run.worker.signal(signal.SIGTERM)
    await run.wait()
    assert run.statuses == [-signal.SIGTERM]


@in_event_loop
async def test_a_signal_after_the_end_is_ignored() -> None:
    run = Run("")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    run.worker.signal(signal.SIGTERM)
    assert run.statuses == [0]


@in_event_loop
async def test_a_killed_worker_does_not_lose_its_last_messages() -> None:
    run = Run("""
for number in range(1000):
    channel.send(Notice("info", str(number)))
channel.flush_within(60)
os.kill(os.getpid(), signal.SIGKILL)
""")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    assert run.notices() == [str(number) for number in range(1000)]


@in_event_loop
async def test_the_worker_cannot_answer_in_the_supervisors_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    run = Run("""
channel.send(Notice("info", " ".join(key for key in ("NOTIFY_SOCKET", "LISTEN_FDS", "LANG") if key in os.environ)))
channel.send(Notice("info", str(os.getpgrp() == os.getpid())))
""")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    own_process_group = "True"  # Ctrl+C in a terminal is for the supervisor alone
    assert run.notices() == ["LANG", own_process_group]


@in_event_loop
async def test_no_descriptor_is_left_open() -> None:
    run = Run("")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    gc.collect()  # descriptors that earlier tests have left
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        again = Run("")
        again.worker.start("body", SETTINGS, [], [])
        await again.wait()
    assert len(os.listdir("/dev/fd")) <= before


@in_event_loop
async def test_a_process_that_keeps_the_channel_open_delays_nothing() -> None:
    run = Run("""
helper = os.fork()
if helper == 0:  # keeps everything open
    time.sleep(60)
    os._exit(0)
channel.send(Notice("info", str(helper)))
channel.send(WorkerEnd("unplugged"))
os._exit(74)
""")
    run.worker.start("body", SETTINGS, [], [])
    spent_s = time.process_time()
    await run.wait()
    spent_s = time.process_time() - spent_s
    with contextlib.suppress(ProcessLookupError):  # it was ended as a process that the driver had forked
        os.kill(int(run.notices()[0]), signal.SIGKILL)
    assert (run.order, run.statuses) == (["Notice", "WorkerEnd", "exit"], [74])
    assert spent_s < 1, "the supervisor span"


@in_event_loop
async def test_a_message_that_cannot_be_handled_keeps_neither_the_others_nor_the_exit_away() -> None:
    run = Run("""
channel.send(Notice("info", "bad"))
channel.send(Notice("info", "good"))
os._exit(74)
""")
    handle = run.worker._on_message

    def refuse_the_first(received: ReceivedMessage) -> None:
        assert received.message != Notice("info", "bad")
        handle(received)

    run.worker._on_message = refuse_the_first
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    assert (run.notices(), run.statuses) == (["good"], [74])


@in_event_loop
async def test_a_worker_that_writes_nonsense_is_ended_with_the_reason() -> None:
    run = Run("""
os.write(channel.fileno(), b"printf of a driver")
try:
    while True:
        receive(1)
except ChannelClosed:
    pass
""")
    run.worker.start("body", SETTINGS, [], [])
    await run.wait()
    (end,) = [received.message for received in run.messages]
    assert isinstance(end, WorkerEnd)
    assert "cannot be read: it begins with b'printf of" in end.reason
    assert run.statuses == [74], "tried again as after a CAN error, with this reason"


@in_event_loop
async def test_a_worker_that_ends_before_it_has_read_everything_costs_no_processor_time() -> None:
    run = Run("os.close(channel.fileno()); time.sleep(1)")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handover = ClientHandover("10.0.0.7:40001", 0.0, 0, 0, 0)
        run.worker.start("body", SETTINGS, [], [HeldClient(handover, ours, bytes(8 << 20))])
        spent_s = time.process_time()
        await run.wait()
        assert time.process_time() - spent_s < 0.5
    assert run.statuses == [0]


def start_failure(command: Sequence[str] = (sys.executable, "-c", ""), free: int = 100) -> Exception:
    """Try to start a worker that cannot be started; return the exception."""
    ended: list[int] = []
    worker = WorkerProcess(lambda _received: None, ended.append, command=command)
    gc.collect()  # descriptors that earlier tests have left
    before = os.listdir("/dev/fd")
    with free_descriptors(free), pytest.raises(OSError, match=r"\[Errno") as error:
        worker.start("body", SETTINGS, [], [])
    assert (worker.pid, ended, os.listdir("/dev/fd")) == (None, [], before), "nothing is left behind"
    return error.value


@in_event_loop
async def test_a_program_that_is_gone_is_a_reason(tmp_path: Path) -> None:
    reason = not_started_reason(start_failure([str(tmp_path / "python")]))
    assert reason == (
        "the worker cannot be started: its program is gone. Install cancorderd again, and restart it "
        f"({tmp_path}/python: No such file or directory)."
    )


@in_event_loop
async def test_a_program_that_may_not_be_executed_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("no program")
    reason = not_started_reason(start_failure([str(tmp_path / "python")]))
    assert "its program may not be executed. Correct the permissions" in reason


@in_event_loop
@pytest.mark.parametrize("free", range(5))
async def test_a_lack_of_descriptors_is_a_reason_wherever_it_shows(free: int) -> None:
    reason = not_started_reason(start_failure(free=free))
    assert "used up its descriptors. Raise the limit of open files (LimitNOFILE=, ulimit -n)" in reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BlockingIOError(errno.EAGAIN, ""), "no further process is allowed. Raise the limit (TasksMax="),
        (OSError(errno.ENOMEM, ""), "there is no memory left. End other programs"),
        (MemoryError(), "there is no memory left. End other programs"),
        (OSError(errno.ENFILE, ""), "the system has used up its descriptors. End other programs"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error. It is tried again every 2 s."),
        (TypeError("no JSON"), "TypeError: no JSON. Its trace is in the log"),
    ],
)
def test_every_failure_has_a_reason(error: Exception, reason: str) -> None:
    assert reason in not_started_reason(error)


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (-9, "was ended by signal 9 (Killed)"),
        (0, "was stopped by another program"),
        (3, "ended with status 3; its trace is in the log"),
    ],
)
def test_every_end_has_a_fact(status: int, fact: str) -> None:
    assert end_fact(status) == fact


def reset(client: socket.socket) -> None:
    """End a connection with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def talk_and_reset(client: socket.socket) -> None:
    client.send(b"hello")
    reset(client)


@pytest.mark.parametrize(
    ("leave", "gone"),
    [
        (lambda _client: None, False),
        (lambda client: client.send(b"hello"), False),
        (lambda client: client.close(), True),
        (lambda client: client.shutdown(socket.SHUT_WR), True),
        (reset, True),
        (talk_and_reset, True),
    ],
    ids=["silent", "talks", "closes", "closes one way", "resets", "talks and resets"],
)
def test_a_held_client_that_is_gone_is_recognized(
    leave: Callable[[socket.socket], object], gone: bool
) -> None:
    server, client = tcp_pair()
    held = HeldClient(ClientHandover("127.0.0.1:5", 0.0, 0, 0, 0), server, b"")
    with server, client:
        leave(client)
        deadline_s = time.monotonic() + PATIENCE_S
        while gone and not held.gone and time.monotonic() < deadline_s:
            pass
        assert held.gone == gone
