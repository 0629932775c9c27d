"""Serve buses on addresses that come and go in this new network namespace; failures are exceptions."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

import psutil
from pyroute2 import IPRoute

from tests.support.harness import Daemon, poll
from tests.support.network_namespace import bring_loopback_up

LATER, NEVER, LINK_LOCAL = "192.0.2.99", "192.0.2.98", "fe80::99"
BUSES = f"""
[bus.later]
interface = "mock"
listen = ["127.0.0.1", "{LATER}"]
port = 5001
[bus.never]
interface = "mock"
listen = ["{NEVER}"]
[bus.neither]
interface = "mock"
listen = ["192.0.2.97"]
[bus.nor]
interface = "mock"
listen = ["192.0.2.96", "2001:db8::96"]
[bus.loopback]
interface = "mock"
listen = ["127.0.0.1", "::1"]
port = 5002
[bus.link]
interface = "mock"
start = "always"
listen = ["127.0.0.1", "{LINK_LOCAL}%lan0"]
port = 5003
"""
MISSING = {
    "later": [LATER],
    "never": [NEVER],
    "neither": ["192.0.2.97"],
    "nor": ["192.0.2.96", "2001:db8::96"],
    "loopback": ["::1"],
    "link": [f"{LINK_LOCAL}%lan0"],
}
IPV6_OF_LOOPBACK = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")


def main() -> None:
    bring_loopback_up()
    IPV6_OF_LOOPBACK.write_text("1")
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder), BUSES) as daemon, IPRoute() as routes:
        pids = {bus: daemon.wait_state(bus, "running")["pid"] for bus in MISSING}
        assert missing(daemon) == MISSING
        check_words(daemon)
        check_cost(daemon)
        connect("127.0.0.1", 5001)
        connect("127.0.0.1", 5002)
        check_addresses_that_come(daemon, routes)
        check_replugged_interface(daemon, routes)
        assert {bus: daemon.bus(bus)["pid"] for bus in MISSING} == pids, "no worker was started again"


def missing(daemon: Daemon) -> dict[str, list[str]]:
    return {bus["name"]: bus["listen_missing"] for bus in daemon.status()["buses"]}


def check_words(daemon: Daemon) -> None:
    status = daemon.ctl("status")
    assert status.returncode == 0, status
    row = next(line for line in status.stdout.splitlines() if line.startswith("never"))
    assert f"this machine has no address {NEVER} (yet). Correct listen, or wait for the network." in row
    assert f"never: listen: this machine has no address {NEVER}" in daemon.ctl("events").stdout


def check_cost(daemon: Daemon) -> None:
    """Six buses without their addresses cost next to nothing."""
    assert daemon.process
    supervisor = psutil.Process(daemon.process.pid)
    before, began_s = supervisor.cpu_times(), time.monotonic()
    poll(lambda: time.monotonic() - began_s > 4, what="four seconds")
    after = supervisor.cpu_times()
    used_s = after.user + after.system - before.user - before.system
    assert used_s < 0.3, used_s


def check_addresses_that_come(daemon: Daemon, routes: IPRoute) -> None:
    index = add_interface(routes)
    routes.addr("add", index=index, address=LATER, prefixlen=24)
    IPV6_OF_LOOPBACK.write_text("0")
    poll(lambda: connects(LATER, 5001), what="a client of the address that came")
    poll(lambda: connects("::1", 5002), what="a client on ::1")
    poll(lambda: connects(f"{LINK_LOCAL}%lan0", 5003), what="a client of the link-local address")
    gone = {"later", "loopback", "link"}
    expected = {bus: [] if bus in gone else addresses for bus, addresses in MISSING.items()}
    poll(lambda: missing(daemon) == expected, what="no word of them any more")


def check_replugged_interface(daemon: Daemon, routes: IPRoute) -> None:
    """The interface has another index after it was unplugged; a client that is connected elsewhere stays."""
    for _ in range(2):
        (before,) = routes.link_lookup(ifname="lan0")
        routes.link("del", index=before)
        poll(lambda: missing(daemon)["link"] == MISSING["link"], what="a word of the missing address")
        assert add_interface(routes) != before
        poll(lambda: connects(f"{LINK_LOCAL}%lan0", 5003), what="a client on the new interface")
    connect("127.0.0.1", 5003)


def add_interface(routes: IPRoute) -> int:
    """Plug in a network adapter, and return its index."""
    routes.link("add", ifname="lan0", kind="veth", peer={"ifname": "lan1"})
    (index,) = routes.link_lookup(ifname="lan0")
    (peer,) = routes.link_lookup(ifname="lan1")
    routes.link("set", index=index, state="up")
    routes.link("set", index=peer, state="up")
    routes.addr("add", index=index, address=LINK_LOCAL, prefixlen=64)
    return int(index)


def connect(host: str, port: int) -> None:
    """Connect to a bus, and receive from its stream."""
    with socket.create_connection((host, port), 5) as client:
        assert client.recv(1)


def connects(host: str, port: int) -> bool:
    try:
        connect(host, port)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
