"""Three gateways in namespaces of their own, on a bridge in this new namespace; failures are exceptions.

All have one host name; two are clones, with one machine id. They start in the same second, as after a power cut.
With arguments, this sets up the network of a gateway, and becomes the gateway:
`python -m tests.e2e.cloned_gateways NUMBER [MACHINE_ID_FILE COMMAND...]`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from cancorderd import client
from tests.support.harness import ROOT, Daemon, poll
from tests.support.network_namespace import bring_loopback_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOSTNAME = "raspberrypi"
MACHINE_IDS = {1: "a" * 32, 2: "a" * 32, 3: "b" * 32}
"""By the number of the gateway. 1 and 2 are the clones."""
_LISTEN_S = 1.5
VIEWER = 254
"""Last byte of our address."""
TO_ALL_ECUS = 0x7DF
TESTERS, ECUS = 0x700, 0x710
"""Arbitration ids, to which the number of the gateway is added."""
BUSES = """
[bus.body]
interface = "mock"
start = "always"
port = 42420
tester_id = {tester_id}
ecu_id = {ecu_id}
[bus.own]
interface = "mock"
listen = ["{address}"]
port = 5000
"""


def address(number: int) -> str:
    return f"10.77.0.{number}"


class Gateway(Daemon):
    """A daemon in a namespace of its own. `start` returns before it runs."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir()
        super().__init__(
            folder,
            BUSES.format(tester_id=TESTERS + number, ecu_id=ECUS + number, address=address(number)),
            zeroconf=True,
        )
        identifier = folder / "machine-id"
        identifier.write_text(f"{MACHINE_IDS[number]}\n")
        self.number = number
        self.command = [
            "unshare", "--net", "--uts", "--mount",
            sys.executable, "-m", "tests.e2e.cloned_gateways", str(number), str(identifier),
            sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(self.file),
        ]  # fmt: skip

    def spawn(self) -> int:
        """Return the process id once the process has its namespaces."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=ROOT)
        pid = self.process.pid
        ours = os.readlink("/proc/self/ns/net")
        poll(lambda: os.readlink(f"/proc/{pid}/ns/net") != ours, what="namespace")
        return pid


def main() -> None:
    bring_loopback_up()
    with tempfile.TemporaryDirectory() as folder:
        gateways = [Gateway(Path(folder) / str(number), number) for number in MACHINE_IDS]
        with connected(gateways):
            for gateway in gateways:
                poll(gateway.answers, what="answer of the daemon")
                gateway.wait_state("body", "running")
            poll(lambda: len(names()) == 2 * len(gateways), 40, "a name for each bus")
            loggers = client.discover(_LISTEN_S)
            check_hosts(loggers)
            check_frames(gateways[0], loggers)
            check_replugged_network(gateways[-1], loggers)


@contextmanager
def connected(gateways: Sequence[Gateway]) -> Iterator[None]:
    """Run the gateways on a bridge."""
    # Zeroconf cannot use an IPv6 address in its first seconds, and leaks a socket each time.
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    with IPRoute() as routes, ExitStack() as stack:
        # With an address of its own. Else it has the lowest of its ports', and another whenever a cable is pulled: whoever
        # knows the old one sends into the void for up to a minute.
        routes.link("add", ifname="bridge0", kind="bridge", address="02:00:00:77:00:fe")
        (bridge,) = routes.link_lookup(ifname="bridge0")
        routes.addr("add", index=bridge, address=address(VIEWER), prefixlen=24)
        routes.link("set", index=bridge, state="up")
        for gateway in gateways:
            pid = gateway.spawn()
            stack.callback(gateway.__exit__)
            plug_in(routes, gateway.number, pid)
        yield


def plug_in(routes: IPRoute, number: int, pid: int) -> None:
    """Connect the namespace of a process to the bridge."""
    (bridge,) = routes.link_lookup(ifname="bridge0")
    routes.link("add", ifname=f"port{number}", kind="veth", peer={"ifname": f"eth{number}"})
    (port,) = routes.link_lookup(ifname=f"port{number}")
    (peer,) = routes.link_lookup(ifname=f"eth{number}")
    routes.link("set", index=port, master=bridge, state="up")
    routes.link("set", index=peer, net_ns_pid=pid)


def names() -> set[str]:
    """Return the names that a program finds which has heard nothing before."""
    return {logger.name for logger in client.discover(_LISTEN_S)}


def check_hosts(loggers: list[client.Logger]) -> None:
    """Each gateway has two hosts, one for the bus with an address of its own; each host has one gateway's address."""
    hosts = {logger.host for logger in loggers}
    assert len(hosts) == len(loggers) == 2 * len(MACHINE_IDS), loggers
    for host in hosts:
        assert re.fullmatch(rf"cancorderd-{HOSTNAME}-[0-9a-f]{{8}}(-5000)?\.local", host), host
    for bus in ("body", "own"):
        found = [logger.addresses for logger in loggers if logger.text["bus"] == bus]
        ipv4 = sorted([one for one in addresses if ":" not in one] for addresses in found)
        assert ipv4 == [[address(number)] for number in MACHINE_IDS], loggers


def check_frames(gateway: Gateway, loggers: list[client.Logger]) -> None:
    """`zeroconf:NAME` gives the frames of the gateway that has the name."""
    bodies = [logger for logger in loggers if logger.text["bus"] == "body"]
    assert len(bodies) == len(MACHINE_IDS)
    for logger in bodies:
        number = int(logger.addresses[0].rpartition(".")[2])
        done = gateway.ctl("dump", f"zeroconf:{logger.name}", "-n", "10")
        assert done.returncode == 0, done
        ids = {int(line.split()[1], 16) for line in done.stdout.splitlines()}
        assert ids & {TESTERS + number, ECUS + number}, (logger, ids)
        assert ids <= {TESTERS + number, ECUS + number, TO_ALL_ECUS}, (logger, ids)


def check_replugged_network(gateway: Gateway, loggers: list[client.Logger]) -> None:
    """A gateway whose network adapter was plugged in again, with the same address, is found again."""
    expected = {logger.name for logger in loggers if address(gateway.number) in logger.addresses}
    assert len(expected) == 2
    plug_in_again(gateway)
    poll(lambda: expected <= names(), 40, "the gateway is found again")


def plug_in_again(gateway: Gateway) -> float:
    """Replace the network adapter of a gateway that is stopped meanwhile, so that it does not see the adapter go.

    Returns the moment after which the network is there, on the monotonic clock.
    """
    number = gateway.number
    assert gateway.process
    pid = gateway.process.pid
    gateway.process.send_signal(signal.SIGSTOP)
    with IPRoute() as routes:
        (port,) = routes.link_lookup(ifname=f"port{number}")
        routes.link("del", index=port)
        plug_in(routes, number, pid)
    set_up = [sys.executable, "-m", "tests.e2e.cloned_gateways", str(number)]
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *set_up], check=True)
    gateway.process.send_signal(signal.SIGCONT)
    return time.monotonic()


def set_up_network(number: int) -> None:
    """Set up this namespace's end of the cable to the bridge."""
    with IPRoute() as routes:
        (interface,) = poll(lambda: routes.link_lookup(ifname=f"eth{number}"), what="interface")
        routes.link("set", index=interface, ifname="eth0")
        routes.addr("add", index=interface, address=address(number), prefixlen=24)
        routes.link("set", index=interface, state="up")
        routes.route("add", dst="0.0.0.0/0", oif=interface)


def be_gateway(number: int, identifier: str, command: list[str]) -> None:
    """Become the daemon when this namespace has its network."""
    socket.sethostname(HOSTNAME)
    subprocess.run(["mount", "--bind", identifier, "/etc/machine-id"], check=True)
    bring_loopback_up()
    set_up_network(number)
    os.execv(command[0], command)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case [number]:
            set_up_network(int(number))
        case [number, identifier, *command]:
            be_gateway(int(number), identifier, command)
