"""`cancorderctl` with a bus that does not run, and a reader of events that leaves."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import ROOT, Client, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Callable


def test_port_of_another_program_is_neither_dumped_nor_reported_as_started(
    daemon: Callable[[str], Daemon],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running = daemon(f'[bus.m]\ninterface = "mock"\nlisten = ["127.0.0.1"]\nport = {port}\n')
        running.wait_state("m", "failed")
        dumped = running.ctl("dump", "m", "-n", "1")
        assert dumped.returncode == 1
        assert f"m is failed: port {port} is in use by" in dumped.stderr
        assert "cancorderctl start m" in dumped.stderr
        started = running.ctl("start", "m")
        assert started.returncode == 1
        assert started.stdout.startswith("m: failed: port")


def test_dump_of_a_stopped_bus_explains_how_to_start_it(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.m]\ninterface = "mock"\n')
    assert running.ctl("stop", "m").returncode == 0
    dumped = running.ctl("dump", "m", "-n", "1")
    assert (dumped.returncode, dumped.stdout) == (1, "")
    assert "m is stopped. Start it: cancorderctl start m" in dumped.stderr


def test_reader_of_events_may_leave_without_a_trace_in_the_log(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.m]\ninterface = "mock"\nstart = "always"\n')
    port = running.wait_port("m")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(running.socket))
        reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: cancorder\r\n\r\n")
        assert b"text/event-stream" in reader.recv(1 << 16)
    with Client(port) as client:
        client.wait_frames(1)
    assert running.ctl("stop", "m").returncode == 0
    poll(lambda: "m: stopped" in running.log.read_text(), what="the stop is in the log")
    assert "Traceback" not in running.log.read_text()


def test_socket_may_be_named_after_the_command(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.m]\ninterface = "mock"\n')
    running.wait_state("m", "running")
    done = subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "status", "m", "--socket", running.socket],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_all_buses_that_are_not_disabled_are_restarted(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(
        '[bus.a]\ninterface = "mock"\n[bus.b]\ninterface = "mock"\n[bus.off]\ninterface = "mock"\nenabled = false\n'
    )
    for name in "ab":
        running.wait_state(name, "running")
    pids = {name: running.bus(name)["pid"] for name in "ab"}
    done = running.ctl("restart", "--all")
    assert (done.returncode, done.stdout) == (0, "a: running\nb: running\n")
    assert all(running.bus(name)["pid"] != pid for name, pid in pids.items())
    assert running.bus("off")["state"] == "disabled"
