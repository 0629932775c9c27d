"""Announce buses in this new network namespace and find them with the client library; failures are exceptions."""

from __future__ import annotations

import re
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import can

from cancorderd import client
from tests.support.harness import PATIENCE_S, Daemon, busy_limit_s
from tests.support.network_namespace import bring_loopback_up

if TYPE_CHECKING:
    from collections.abc import Callable

BUSES = """
[bus.body]
interface = "mock"
[bus.car]
interface = "mock"
service_name = "ECUconnect-Logger my car"
listen = ["127.0.0.1"]
"""
OTHER = '[bus.body]\ninterface = "mock"\nbitrate = 250_000\n'
HOST = socket.gethostname().partition(".")[0]


def main() -> None:
    fails(client.discover, "^Zeroconf: .* name the logger's address and port")
    assert can.detect_available_configs("ecuconnect") == []
    bring_loopback_up()
    assert client.discover(0.5) == []
    fails(lambda: client.connect_to("zeroconf:body", timeout_s=0.5), "check network and firewall")
    with (
        tempfile.TemporaryDirectory() as first_folder,
        tempfile.TemporaryDirectory() as second_folder,
        client.browse() as browser,
    ):
        with Daemon(Path(first_folder), BUSES, zeroconf=True) as daemon:
            ports = {name: daemon.wait_port(name) for name in ("body", "car")}
            check_browsing(browser)
            check_loggers(ports)
            check_names(ports)
            check_python_can(ports)
            with Daemon(Path(second_folder), OTHER, zeroconf=True) as second:
                port = second.wait_port("body")
                assert wait_change(browser, "found").logger.port == port
                check_two_of_one_name(ports["body"], port)
        left = {wait_change(browser, "gone").logger.name for _ in range(3)}
        assert left == {f"ECUconnect-Logger body {HOST}:{port}" for port in (ports["body"], port)} | {
            "ECUconnect-Logger my car"
        }
    assert list(browser) == []


def wait_change(browser: client.Browser, kind: str) -> client.Change:
    end = time.monotonic() + PATIENCE_S
    while change := browser.next(end - time.monotonic()):
        if change.kind == kind:
            return change
    raise AssertionError(f"nothing {kind}")


def check_browsing(browser: client.Browser) -> None:
    names = {wait_change(browser, "found").logger.name for _ in range(2)}
    assert "ECUconnect-Logger my car" in names


def check_loggers(ports: dict[str, int]) -> None:
    began = time.monotonic()
    body, car = sorted(client.discover(3.0), key=lambda logger: logger.text["bus"])
    assert 2.9 < time.monotonic() - began < busy_limit_s(5)
    assert (body.name, body.port) == (f"ECUconnect-Logger body {HOST}:{ports['body']}", ports["body"])
    assert re.fullmatch(rf"cancorderd-{re.escape(HOST)}-[0-9a-f]{{8}}\.local", body.host), body.host
    assert body.addresses == ("127.0.0.1", "::1")
    assert body.text == {
        "system": HOST,
        "process": "cancorderd",
        "bus": "body",
        "interface": "mock",
        "channel": "mock",
        "bitrate": "500000",
        "port": str(ports["body"]),
    }
    assert (car.name, car.port) == ("ECUconnect-Logger my car", ports["car"])


def check_names(ports: dict[str, int]) -> None:
    for name, bus in (
        ("ECUconnect-Logger my car", "car"),
        ("my car", "car"),
        ("car", "car"),
        (f"{HOST}:{ports['body']}", "body"),
        ("body", "body"),
    ):
        with client.connect_to(f"zeroconf:{name}") as connection:
            assert connection.peer[1] == ports[bus], name
            assert connection.receive(PATIENCE_S)
    there = ", ".join(
        f'"ECUconnect-Logger {name}"' for name in sorted((f"body {HOST}:{ports['body']}", "my car"))
    )
    fails(
        lambda: client.connect_to("zeroconf:engine", timeout_s=3),
        f"^zeroconf:engine: no logger of this name is on the network. There are {re.escape(there)}",
    )


def check_two_of_one_name(first: int, second: int) -> None:
    expected = [f"ECUconnect-Logger body {HOST}:{port}" for port in (first, second)]
    named = ", ".join(f'"{name}"' for name in sorted(expected))
    fails(
        lambda: client.connect_to("zeroconf:body"),
        f"^zeroconf:body: several loggers have a bus of this name. Choose one: {named}; or add @ and its host.$",
    )
    with client.connect_to(f"zeroconf:{expected[1]}") as connection:
        assert connection.peer[1] == second


def check_python_can(ports: dict[str, int]) -> None:
    found = can.detect_available_configs("ecuconnect")
    assert found == [
        {"interface": "ecuconnect", "channel": f"zeroconf:ECUconnect-Logger {name}"}
        for name in sorted((f"body {HOST}:{ports['body']}", "my car"))
    ]
    with can.Bus(interface="ecuconnect", channel="zeroconf:my car") as bus:
        assert bus.recv(PATIENCE_S)


def fails(call: Callable[[], object], message: str) -> None:
    try:
        call()
    except (client.ConnectFailed, client.DiscoveryFailed) as error:
        assert re.search(message, str(error)), error
    else:
        raise AssertionError(f"should fail: {message}")


if __name__ == "__main__":
    main()
