"""Faults of the network: interfaces, addresses, IPv6, ports and names that come, go, or are taken."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pyroute2 import IPRoute

from cancorderd import client
from tests.e2e.cloned_gateways import Gateway, address, connected, names, plug_in_again
from tests.faults.account import Account
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus, numbered_adapter, slcan_table, watched
from tests.faults.viewer import Viewer
from tests.support.harness import PATIENCE_S, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.watched_bus import WatchedBus

RATE = 500
BACK_WITHIN_S = 8.0
"""Time to recover of each fault, on an idle machine: a bus compares its addresses and ports each two seconds, a silent
connection sends again after up to twice the time of the fault, and names are compared each five seconds."""
LATER, LATER_IPV6, LINK_LOCAL = "192.0.2.99", "2001:db8::99", "fe80::99"
MDNS = 5353
NOT_APART = "not run: it needs a network namespace of its own"


def apart(run: Callable[[Path, Scale], Row]) -> Callable[[Path, Scale], Row]:
    """Return the drill `run`, which must not touch the network of this machine."""

    def drill(folder: Path, scale: Scale) -> Row:
        if not os.environ.get("CANCORDER_FAULTS_APART"):
            return Row(note=NOT_APART)
        return run(folder, scale)

    return drill


def interfaces(folder: Path, scale: Scale) -> Row:
    """An interface is unplugged and plugged in with the same addresses. Streams through it go on without a loss."""
    row = Row(times=scale.of(2, 30))
    listen = ["127.0.0.1", LATER, LATER_IPV6, f"{LINK_LOCAL}%lan0"]
    keys = f"listen = {listen!r}".replace("'", '"')
    with SlcanBus(folder, rate=RATE, keys=keys) as bus, IPRoute() as routes, Streams(bus) as streams:
        row.expect(bus.status()["listen_missing"] == listen[1:], "addresses are not said to be missing")
        worker = bus.pid
        for _ in range(row.times):
            add_interface(routes)
            plugged_s = time.monotonic()
            streams.open(LATER, LATER_IPV6)
            wait_stream(f"{LINK_LOCAL}%lan0", bus.port)
            row.recoveries_s.append(streams.wait_flow() - plugged_s)
            (index,) = routes.link_lookup(ifname="lan0")
            routes.link("del", index=index)
            poll(lambda: bus.status()["listen_missing"] == listen[1:], what="a word of missing addresses")
        add_interface(routes)
        plugged_s = time.monotonic()
        row.recoveries_s.append(streams.wait_flow() - plugged_s)
        row.expect(bus.pid == worker, "the worker was started again")
        finish(row, bus, streams)
    return row


def addresses(folder: Path, scale: Scale) -> Row:
    """The addresses of an interface go for a second and come again, as when a lease ends; it stays."""
    row = Row(times=scale.of(2, 30))
    with SlcanBus(folder, rate=RATE) as bus, IPRoute() as routes, Streams(bus) as streams:
        index = add_interface(routes)
        streams.open(LATER, LATER_IPV6)
        for _ in range(row.times):
            for name, length in ((LATER, 24), (LATER_IPV6, 64)):
                routes.addr("del", index=index, address=name, prefixlen=length)
            wait_frames(bus, RATE)
            for name in (LATER, LATER_IPV6):
                row.expect(not streams.flow(name), f"frames go through {name}: this drill breaks nothing")
            add_addresses(routes, index)
            came_s = time.monotonic()
            row.recoveries_s.append(streams.wait_flow() - came_s)
        finish(row, bus, streams)
    return row


def loopback(folder: Path, scale: Scale) -> Row:
    """The interface on which all clients are goes down and up. The backlog of each client keeps its frames."""
    row = Row(times=scale.of(2, 20))
    with SlcanBus(folder, rate=RATE) as bus, IPRoute() as routes, Streams(bus) as streams:
        streams.open("127.0.0.1")
        (index,) = routes.link_lookup(ifname="lo")
        for _ in range(row.times):
            routes.link("set", index=index, state="down")
            wait_sent(bus, 2 * RATE)
            routes.link("set", index=index, state="up")
            up_s = time.monotonic()
            bus.wait_flow()
            row.recoveries_s.append(streams.wait_flow() - up_s)
        row.expect(bus.seen.connections == 1, "the client was disconnected")
        finish(row, bus, streams)
    return row


def ipv6(folder: Path, scale: Scale) -> Row:
    """IPv6 is off when the daemon starts, is switched on, off and on; IPv4 does not care."""
    row = Row(times=scale.of(3, 30))
    switch_ipv6(on=False)
    with (
        SlcanBus(folder, rate=RATE) as bus,
        Streams(bus) as streams,
    ):
        for _ in range(row.times):
            switch_ipv6(on=True)
            on_s = time.monotonic()
            streams.open("::1")
            row.recoveries_s.append(streams.wait_flow() - on_s)
            switch_ipv6(on=False)
            wait_frames(bus, RATE)
            row.expect(
                not streams.flow("::1"), "frames go through ::1 without IPv6: this drill breaks nothing"
            )
        switch_ipv6(on=True)
        on_s = time.monotonic()
        row.recoveries_s.append(streams.wait_flow() - on_s)
        row.expect(bus.seen.connections == 1, "the client on IPv4 was disconnected")
        finish(row, bus, streams)
    return row


def port_taken(folder: Path, scale: Scale) -> Row:
    """A program has the port of bus `b` before this bus starts, and frees it later. Bus `a` does not care."""
    row = Row(times=scale.of(3, 30))
    port = 5001
    with numbered_adapter(folder / "other-tty") as adapter:
        blocker = take_port(port)
        table = slcan_table("b", folder / "other-tty", f"port = {port}")
        with SlcanBus(folder, rate=RATE, more_buses=table) as bus:
            other = watched(bus.daemon, "b", adapter)
            for number in range(row.times):
                if number:
                    assert bus.daemon.ctl("stop", "b").returncode == 0
                    blocker = take_port(port)
                    bus.daemon.ctl("start", "b")
                reason = bus.daemon.wait_state("b", "failed")["reason"]
                said = f"port {port} is in use by" in reason and f"(process {os.getpid()})" in reason
                row.expect(said, f"a taken port is reported as {reason!r}")
                row.expect(not adapter.adapter.open, "the adapter is open without a port")
                blocker.close()
                freed_s = time.monotonic()
                if not number:
                    other.connect()
                    other.send(RATE)
                row.recoveries_s.append(other.wait_flow() - freed_s)
            row.expect(bus.seen.connections == 1, "bus a was disturbed")
            row.accounts.append(bus.account())
            row.mistakes += bus.seen.mistakes()
            other.account()
            row.mistakes += other.seen.mistakes()
            other.disconnect()
    expect_soon(row)
    return row


def mdns_taken(folder: Path, scale: Scale) -> Row:
    """A program has UDP port 5353 for itself when the daemon starts, and frees it later: the bus is found then."""
    row = Row(times=scale.of(1, 10))
    for number in range(row.times):
        life = folder / str(number)
        life.mkdir()
        with take_mdns() as free, SlcanBus(life, rate=RATE, keys="zeroconf = true") as bus:
            bus.daemon.wait_log("cannot be found by browsing")
            free()
            freed_s = time.monotonic()
            wait_found({bus.port})
            row.recoveries_s.append(time.monotonic() - freed_s)
            row.accounts.append(bus.account())
            row.mistakes += bus.seen.mistakes()
    expect_soon(row)
    return row


class NumberedGateway(Gateway):
    """One of several gateways with one host name, whose bus `body` has an adapter that sends numbered frames."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number)
        link = folder / "tty"
        self.adapter = numbered_adapter(link)
        self.write(slcan_table("body", link, "port = 42420"))
        self.watched = watched(self, "body", self.adapter)


def equal_names(folder: Path, scale: Scale) -> Row:
    """Two gateways, one of which is a copy of the other, start in the same second; then the cable of one is pulled.

    Each is found under a name of its own, before and after, and has its own frames.
    """
    row = Row(times=scale.of(1, 10))
    gateways = [NumberedGateway(folder / str(number), number) for number in (1, 2)]
    with ExitStack() as stack:
        for gateway in gateways:
            stack.enter_context(gateway.adapter)
        stack.enter_context(connected(gateways))
        began_s = time.monotonic()
        for gateway in gateways:
            poll(gateway.answers, what="an answer of the daemon")
            bus = gateway.watched
            bus.connect(address(gateway.number))
            stack.callback(bus.disconnect)
            gateway.wait_state("body", "running")
            bus.send(RATE)
        poll(lambda: len(names()) == len(gateways), what="a name for each gateway")
        row.figures["found_after_start_s"] = round(time.monotonic() - began_s, 1)
        found = names()
        for _ in range(row.times):
            replugged_s = plug_in_again(gateways[1])
            gateways[1].watched.wait_flow()
            poll(lambda: names() == found, what="the same names")
            row.recoveries_s.append(time.monotonic() - replugged_s)
        for gateway in gateways:
            bus = gateway.watched
            row.expect(bus.seen.connections == 1, f"the client of gateway {gateway.number} was disconnected")
            row.accounts.append(bus.account())
            row.mistakes += bus.seen.mistakes()
    expect_soon(row)
    return row


class Streams:
    """Further viewers of a bus, by the address through which they connect, during the `with` block."""

    def __init__(self, bus: WatchedBus) -> None:
        self._bus = bus
        self._viewers: dict[str, Viewer] = {}

    def open(self, *hosts: str) -> None:
        """Connect through each of these addresses, unless that was done before; they may not be there yet."""
        for host in hosts:
            if host not in self._viewers:
                self._viewers[host] = Viewer(self._bus.port, host).__enter__()

    def wait_flow(self) -> float:
        """Wait until each stream has a frame of now; return the last arrival, on the monotonic clock."""
        mark = self._bus.sent
        for host, viewer in self._viewers.items():
            wait_received(viewer, mark, host)
        return max(viewer.last_arrival_s for viewer in self._viewers.values())

    def flow(self, host: str) -> bool:
        """Return whether frames of the last half second have arrived through this address."""
        return self._viewers[host].last >= self._bus.seen.last - RATE / 2

    def note(self, row: Row) -> None:
        """Add the accounts when the stream has ended: none may have lost a frame since its first."""
        for host, viewer in self._viewers.items():
            wait_received(viewer, self._bus.sent - 1, host)
            row.accounts.append(Account(viewer.received + viewer.tally.missing, viewer.received, {}, RATE))
            row.mistakes += viewer.mistakes()
            row.expect(
                viewer.connections == 1, f"the client through {host} connected {viewer.connections} times"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for viewer in self._viewers.values():
            viewer.__exit__()


def finish(row: Row, bus: WatchedBus, streams: Streams) -> None:
    """Add the accounts and faults of all streams of a bus."""
    row.accounts.append(bus.account())
    row.mistakes += bus.seen.mistakes()
    streams.note(row)
    expect_soon(row)


def expect_soon(row: Row) -> None:
    limit_s = busy_limit_s(BACK_WITHIN_S)
    late = [round(took_s, 1) for took_s in row.recoveries_s if took_s > limit_s]
    row.expect(not late, f"frames came back after {late} s")


def wait_received(viewer: Viewer, number: int, host: str) -> None:
    poll(lambda: viewer.last >= number, what=f"frame {number} through {host}")


def wait_sent(bus: WatchedBus, count: int) -> None:
    """Wait while the adapter sends `count` frames."""
    mark = bus.sent + count
    poll(lambda: bus.sent > mark, what="frames of the adapter")


def wait_frames(bus: WatchedBus, count: int) -> None:
    """Wait while the adapter sends `count` frames, and the viewer of the bus receives them."""
    mark = bus.sent + count
    poll(lambda: bus.seen.last >= mark, what="frames of the bus")


def wait_stream(host: str, port: int) -> None:
    """Wait until a client that connects through `host` receives the stream."""

    def receives() -> bool:
        try:
            with socket.create_connection((host, port), PATIENCE_S) as sock:
                return bool(sock.recv(1))
        except OSError:
            return False

    poll(receives, what=f"a stream through {host}")


def wait_found(ports: set[int]) -> None:
    """Wait until browsing finds these ports."""
    end_s = time.monotonic() + PATIENCE_S
    missing = set(ports)
    with client.browse() as browser:
        while missing:
            change = browser.next(max(0.0, end_s - time.monotonic()))
            assert change, f"not found by browsing: {missing}"
            missing.discard(change.logger.port)


def add_interface(routes: IPRoute) -> int:
    """Plug in a network adapter, with three addresses, and return its index."""
    routes.link("add", ifname="lan0", kind="veth", peer={"ifname": "lan1"})
    (index,) = routes.link_lookup(ifname="lan0")
    (peer,) = routes.link_lookup(ifname="lan1")
    routes.link("set", index=index, state="up")
    routes.link("set", index=peer, state="up")
    add_addresses(routes, index)
    routes.addr("add", index=index, address=LINK_LOCAL, prefixlen=64)
    return int(index)


def add_addresses(routes: IPRoute, index: int) -> None:
    routes.addr("add", index=index, address=LATER, prefixlen=24)
    routes.addr("add", index=index, address=LATER_IPV6, prefixlen=64)


def switch_ipv6(*, on: bool) -> None:
    """Switch IPv6 of this namespace."""
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0" if on else "1")


def take_port(port: int) -> socket.socket:
    return socket.create_server(("", port))


@contextmanager
def take_mdns() -> Iterator[Callable[[], None]]:
    """Have UDP port 5353 as a program that shares it with none; yields the function that frees it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        four.bind(("", MDNS))
        six.bind(("::", MDNS))

        def free() -> None:
            four.close()
            six.close()

        yield free


DRILLS = (
    Drill("interfaces", "a network interface is unplugged and plugged in", apart(interfaces)),
    Drill("addresses", "the addresses of an interface go and come", apart(addresses)),
    Drill("loopback", "the interface of all clients is down for 2 s", apart(loopback)),
    Drill("ipv6", "IPv6 is off at the start; then on, off and on", apart(ipv6)),
    Drill("port-taken", "a port is taken before its bus starts, freed later", apart(port_taken)),
    Drill("mdns-taken", "UDP 5353 is taken, and freed later", apart(mdns_taken)),
    Drill("equal-names", "two gateways with one name; a cable is pulled", apart(equal_names)),
)
