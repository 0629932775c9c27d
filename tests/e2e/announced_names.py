"""Announce buses with names of any length and kind in this new network namespace; failures are exceptions."""

from __future__ import annotations

import ctypes
import re
import socket
import tempfile
import time
from pathlib import Path

from cancorderd import client
from tests.support.harness import PATIENCE_S, Daemon, busy_limit_s
from tests.support.network_namespace import bring_loopback_up

CLONE_NEWUTS = 0x0400_0000
LONGEST_HOSTNAME = "h" * 64
BUSES = (
    "".join(f'[bus.b{number}]\ninterface = "mock"\nport = {5000 + number}\n' for number in range(12))
    + f"""
[bus.channel]
interface = "virtual"
channel = "{"c" * 280}"
bitrate = 500_000
port = 5012
[bus.dots]
interface = "mock"
service_name = "ECUconnect-Logger a..b."
port = 5013
[bus.longest]
interface = "mock"
service_name = "ECUconnect-Logger {"n" * 45}"
port = 5014
[bus.moves]
interface = "mock"
service_name = "ECUconnect-Logger moves"
port = 5015
"""
)
PORTS = set(range(5000, 5016))


def main() -> None:
    assert not ctypes.CDLL(None).unshare(CLONE_NEWUTS), "no namespace for a host name"
    socket.sethostname(LONGEST_HOSTNAME)
    bring_loopback_up()
    with (
        tempfile.TemporaryDirectory() as folder,
        client.browse() as browser,
        Daemon(Path(folder), BUSES, zeroconf=True) as daemon,
    ):
        began_s = time.monotonic()
        loggers = wait_for(browser, PORTS)
        assert time.monotonic() - began_s < busy_limit_s(6), "side by side"
        check_names(loggers)
        check_changed_port(daemon, browser)
        check_changed_hostname(browser, loggers)
        status, log = daemon.stop(), daemon.log.read_text()
        assert status == 0, (status, log)
        assert "cannot be found by browsing" not in log, log


def wait_for(browser: client.Browser, ports: set[int]) -> dict[int, client.Logger]:
    """Return the loggers of these ports, once all are there."""
    found: dict[int, client.Logger] = {}
    end_s = time.monotonic() + PATIENCE_S
    while ports - found.keys():
        change = browser.next(end_s - time.monotonic())
        assert change, f"missing: {ports - found.keys()}"
        if change.kind == "found":
            found[change.logger.port] = change.logger
    return found


def check_names(loggers: dict[int, client.Logger]) -> None:
    assert loggers[5000].name == f"ECUconnect-Logger b0 {'h' * 37}:5000"
    assert loggers[5012].text["channel"] == "c" * (255 - len("channel="))
    assert loggers[5014].name == f"ECUconnect-Logger {'n' * 45}"
    hosts = {logger.host for logger in loggers.values()}
    assert len(hosts) == 1
    assert re.fullmatch(r"cancorderd-h{43}-[0-9a-f]{8}\.local", hosts.pop())


def check_changed_port(daemon: Daemon, browser: client.Browser) -> None:
    """The bus keeps its name: its own earlier record is nobody else's."""
    daemon.write(BUSES.replace("5015", "5016"))
    assert daemon.ctl("reload").returncode == 0
    assert wait_for(browser, {5016})[5016].name == "ECUconnect-Logger moves"


def check_changed_hostname(browser: client.Browser, before: dict[int, client.Logger]) -> None:
    socket.sethostname("short")
    after = wait_for(browser, {5000, 5014})
    while after[5014].host == before[5014].host or after[5000].name == before[5000].name:
        after |= wait_for(browser, {5000} if after[5000].name == before[5000].name else {5014})
    assert after[5000].name == "ECUconnect-Logger b0 short:5000"
    code = before[5000].host.removesuffix(".local").rpartition("-")[2]
    assert {logger.host for logger in after.values()} == {f"cancorderd-short-{code}.local"}
    assert after[5014].name == before[5014].name


if __name__ == "__main__":
    main()
