"""The control API of a real daemon, as curl uses it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.harness import ROOT, Client, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def raw(daemon: Daemon, request: str, *, until: bytes = b"", wait_s: float = 10) -> str:
    """Return the answer that a plain HTTP client receives, up to its end or to the bytes `until`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(wait_s)
        sock.connect(str(daemon.socket))
        sock.sendall(f"{request} HTTP/1.1\r\nHost: cancorder\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while not until or until not in answer:
            piece = sock.recv(65536)
            if not piece:
                break
            answer += piece
    return answer.decode()


def test_status_has_the_promised_keys(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("mock", "running")
    answer = raw(running, "GET /v1/status")
    assert answer.startswith("HTTP/1.1 200 OK")
    status: dict[str, Any] = json.loads(answer.partition("\r\n\r\n")[2])
    assert {"schema", "host", "time", "version", "pid", "uptime_s", "config", "buses"} <= status.keys()
    bus = status["buses"][0]
    promised = (
        "name interface channel bitrate state reason since pid port restarts last_error frames lost load "
        "controller clients"
    )
    assert set(promised.split()) <= bus.keys()
    assert bus["frames"].keys() == {"received", "per_second", "error", "remote"}
    assert bus["lost"].keys() == {"kernel", "adapter", "clients", "unknown"}
    poll(lambda: running.bus("mock")["frames"]["per_second"] > 100, what="a rate")
    assert 0 < running.bus("mock")["load"] < 1


def test_events_are_remembered_and_followed(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("mock", "running")
    past = raw(running, "GET /v1/events?follow=0")
    assert "Content-Type: text/event-stream" in past
    events = [json.loads(line[6:]) for line in past.splitlines() if line.startswith("data: ")]
    assert {"bus": "mock", "level": "info", "text": "running"}.items() <= events[-1].items()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(running.socket))
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: cancorder\r\n\r\n")
        running.ctl("stop", "mock")
        answer = b""
        while b'"text": "stopped"' not in answer:
            answer += sock.recv(65536)
        assert running.stop() == 0, "a reader of events does not delay the end"


def test_unknown_paths_verbs_and_buses(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    assert raw(running, "GET /v2/status").startswith("HTTP/1.1 404")
    assert raw(running, "POST /v1/buses/mock/paint").startswith("HTTP/1.1 404")
    assert "there is no bus none" in raw(running, "POST /v1/buses/none/stop")
    assert raw(running, "GET /v1/reload").startswith("HTTP/1.1 405")


def test_reload_moves_a_port_to_another_bus(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    port = running.wait_port("mock")
    running.write(MOCK.replace("bus.mock", "bus.new") + f"port = {port}\n")
    assert running.ctl("reload").returncode == 0
    assert running.bus("new")["port"] == port
    assert running.bus("new")["state"] == "running", (
        "the reload is in force when it returns, not two seconds later"
    )


def test_clients_and_events_commands(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK + MOCK.replace("bus.mock", "bus.more"))
    with Client(running.wait_port("mock")) as viewer:
        viewer.wait_frames(1)
        address = f"127.0.0.1:{viewer.socket.getsockname()[1]}"
        poll(lambda: address in running.ctl("clients").stdout, what="the client in the list")
        assert running.ctl("clients", "more").stdout == "No clients.\n"
        listed = json.loads(running.ctl("clients", "--json", "mock").stdout)
        assert listed["mock"][0]["address"] == address
    events = running.ctl("events", "mock").stdout
    assert f"mock: client {address} connected" in events
    assert "more:" not in events
    follower = subprocess.Popen(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(running.socket), "events",
         "--follow", "--json", "more"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        running.ctl("stop", "more")
        assert follower.stdout
        while json.loads(follower.stdout.readline())["text"] != "stopped":
            pass
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0, "Ctrl+C is the normal way to end"
    finally:
        follower.kill()
        follower.communicate()
