"""The control interface as curl sees it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from tests.harness import poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Daemon

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def raw(daemon: Daemon, request: str, *, until: bytes = b"", wait_s: float = 10) -> str:
    """What a plain HTTP client gets, up to the end or to the bytes `until`."""
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
    assert {"version", "pid", "uptime_s", "config", "buses"} <= status.keys()
    bus = status["buses"][0]
    promised = (
        "name interface channel bitrate state reason since pid port restarts last_error frames lost load "
        "controller clients"
    )
    assert set(promised.split()) <= bus.keys()
    assert bus["frames"].keys() == {"received", "per_second", "error", "remote"}
    assert bus["lost"].keys() == {"kernel", "adapter", "clients"}
    poll(lambda: running.bus("mock")["frames"]["per_second"] > 100, what="a rate")
    assert 0 < running.bus("mock")["load"] < 1


def test_events_tell_what_happened_and_what_happens(daemon: Callable[[str], Daemon]) -> None:
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
        assert running.stop() == 0, "somebody who listens does not keep the daemon"


def test_unknown_paths_verbs_and_buses(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    assert raw(running, "GET /v2/status").startswith("HTTP/1.1 404")
    assert raw(running, "POST /v1/buses/mock/paint").startswith("HTTP/1.1 404")
    assert "there is no bus none" in raw(running, "POST /v1/buses/none/stop")
    assert raw(running, "GET /v1/reload").startswith("HTTP/1.1 405")


def test_reload_that_moves_a_port_from_one_bus_to_another(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    port = running.wait_port("mock")
    running.write(MOCK.replace("bus.mock", "bus.new") + f"port = {port}\n")
    assert running.ctl("reload").returncode == 0
    assert running.bus("new")["port"] == port
    assert running.bus("new")["state"] == "running", "in force when reload returns, not two seconds later"
