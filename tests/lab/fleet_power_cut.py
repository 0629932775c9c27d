"""Drills: the power of a gateway is cut in an outage, and that of a hub while frames flow; each boots again with the same disk.

    unshare --net python -m tests.lab.fleet_power_cut [CUTS]

One end of the link is in the machine (`powered`), which has a network device to this namespace, the other on the host.
Prints a line for each drill, as `tests/fleet`. Needs root, /dev/net/tun and nats-server beside Python. Exit status 1 if
a promise did not hold, 2 if this host cannot build the machine.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pyroute2 import IPRoute

from tests.fleet.chain import GATEWAY, HEAD, LINES, RATE, Chain
from tests.lab.powered import HERE, PoweredMachine
from tests.support.harness import Client, Daemon, busy_limit_s, poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.network_namespace import bring_loopback_up
from tests.support.numbered_frames import mistakes, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.protocol.frame import Frame

GATEWAY_CUTS, HUB_CUTS = 3, 2
HOST, MACHINE = "10.78.0.1", "10.78.0.2"
PREFIX_LENGTH = 24
TAP = "power0"
KERNEL = f"vec0:transport=tap,ifname={TAP},mac=02:00:00:00:78:02,gro=1"
HUB_PORT, BUS_PORT = 4222, 42420

GATEWAY_RATE = 200
"""Frames per second: the machine's processor is slow."""
LOST_S = 6.0
"""Age of the oldest loss, without the time that the disk takes: `ram_s`, and a second."""
DISK_S = 1.0
LATEST_S = 5.0
"""Within this time the power is cut, at random, as soon as there is something to lose."""


def make_network() -> None:
    """Make the host's end of the machine's network; it outlives the machine, as a switch does."""
    bring_loopback_up()
    with IPRoute() as links:
        links.link("add", ifname=TAP, kind="tuntap", mode="tap")
        index = links.link_lookup(ifname=TAP)[0]
        links.addr("add", index=index, address=HOST, prefixlen=PREFIX_LENGTH)
        links.link("set", index=index, state="up")


class PoweredHub(NatsServer):
    """A hub in the machine: `kill` cuts its power, `begin` gives it back."""

    def __init__(self, folder: Path, jetstream: str) -> None:
        """`jetstream` is added to the settings of JetStream."""
        self._jetstream = jetstream
        self.machine = PoweredMachine("hub_power_cut", folder, kernel=KERNEL)
        super().__init__(folder, port=HUB_PORT, host=MACHINE)
        assert PROGRAM, "nats-server is missing: tests/run installs it"
        shutil.copy(PROGRAM, folder / "nats-server")
        self.log = self.machine.log

    def write(self, settings: str) -> None:
        self.file.write_text(
            f'server_name: "hub"\nlisten: "0.0.0.0:{self.port}"\n{settings}\n'
            f'jetstream {{ store_dir: "/disk", max_file_store: 200MB\n{self._jetstream} }}\n'
        )

    def begin(self) -> None:
        self.machine.boot(f"{MACHINE}/{PREFIX_LENGTH}")

    def accepts(self) -> bool:
        self.machine.assert_runs()
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((self.host, self.port)) == 0

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.machine.cut()

    def sync(self) -> None:
        """Let the machine write down everything."""
        file = self.folder / "sync"
        file.touch()
        poll(lambda: not file.exists(), what="the disk is synced")


def hub_drill(folder: Path, cuts: int, *, always: bool) -> None:
    """Cut the power of the hub while frames flow."""
    hub = PoweredHub(folder / "hub", "sync_interval: always" if always else "")
    chance = random.Random()
    with ExitStack() as stack:
        stack.callback(hub.machine.cut)
        chain = stack.enter_context(Chain(folder, server=hub, keys="keep_acked_mb = 0\n" if always else ""))
        hub.sync()  # a stream that was made minutes ago
        chain.restart_clock()
        for _ in range(cuts):
            chain.sends(chance.randrange(RATE, int(LATEST_S * RATE)))
            hub.kill()
            chain.sends(RATE)
            hub.begin()
            chain.flows()
        again = [
            int(batches)
            for batches in re.findall(r"has lost the last (\d+) batches", chain.gateway.log.read_text())
        ]
        lost = chain.judge(f"hub's power cut, {'always' if always else 'default'} sync, {cuts} times")
        LINES[-1] += f"; {sum(again)} batches sent again"
        assert lost == {}
        assert chain.hub.accounts()["a"].missing == 0, "at the hub"
        assert bool(again) is not always, "the hub lost batches that it had acknowledged"


class Life(NamedTuple):
    """The gateway from a boot to a cut, as a client of its bus has seen it."""

    frames: list[Frame]
    cut_s: float
    """Time at which nothing of the machine was left, in seconds since the epoch."""

    @property
    def sent(self) -> int:
        return number(self.frames[-1]) + 1

    def lost_s(self, received: int) -> float:
        """Return the age of the oldest loss, if the first `received` frames are at the hub."""
        lost = next((frame for frame in self.frames if number(frame) >= received), None)
        return self.cut_s - lost.timestamp_us / 1e6 if lost else 0.0


class PoweredGateway:
    """A gateway in the machine, with a client on the host that notes what its bus sends."""

    def __init__(self, folder: Path, hub: NatsServer) -> None:
        self.machine = PoweredMachine("gateway_power_cut", folder, kernel=KERNEL)
        self.lives: list[Life] = []
        self._boot_at = 0
        self._source: Client | None = None
        folder.mkdir()
        (folder / "cancorder.toml").write_text(
            '[daemon]\ncontrol_socket = "/run/control.sock"\nstate_dir = "/disk/state"\n[defaults]\nzeroconf = false\n'
            f'[forward]\nurl = ["{hub.url}"]\ngateway = "{GATEWAY}"\n'
            f'[bus.a]\ninterface = "mock"\npattern = "numbered"\nrate = {GATEWAY_RATE}\nstart = "always"\n'
            f"port = {BUS_PORT}\n"
        )

    def boot(self) -> None:
        """Boot, and wait for the first frame."""
        self._boot_at = self.machine.log.stat().st_size if self.lives else 0
        self.machine.boot(f"{MACHINE}/{PREFIX_LENGTH}")
        source = poll(self._connected, what="the bus in the machine")
        assert source
        source.wait_frames(1)
        self._source = source

    def _connected(self) -> Client | None:
        self.machine.assert_runs()
        try:
            return Client(BUS_PORT, host=MACHINE)
        except OSError:
            return None

    def wait_disconnected(self) -> None:
        """Wait until its forwarder, which starts after the bus, misses the hub."""
        poll(lambda: "no server listens there" in self.printed(), what="a forwarder that misses the hub")

    def printed(self) -> str:
        """Return what it has printed since this boot."""
        return self.machine.log.read_bytes()[self._boot_at :].decode(errors="replace")

    def sends_until(self, moment_s: float) -> None:
        """Wait until its bus has sent a frame with a later time stamp."""
        source = self._source
        assert source
        poll(lambda: source.frames[-1].timestamp_us > moment_s * 1e6, what="frames of the gateway")

    def cut(self) -> None:
        assert self._source
        self.machine.cut()
        self.lives.append(Life(list(self._source.frames), time.time()))
        self._source.close()


def gateway_drill(folder: Path, cuts: int) -> None:
    """Cut the power of the gateway while the hub is there, has gone away, or was not there since the boot, in turn."""
    chance = random.Random()
    flow_s: list[float] = []
    with ExitStack() as stack:
        hub = stack.enter_context(NatsServer(folder / "hub", port=HUB_PORT, host=HOST))
        Hub(hub.url, GATEWAY).make_stream()
        (folder / "viewer").mkdir()
        viewer = stack.enter_context(Daemon(folder / "viewer", viewing(hub)))
        client = stack.enter_context(Client(viewer.wait_port("far")))
        gateway = PoweredGateway(folder / "gateway", hub)
        stack.callback(gateway.machine.cut)

        def back() -> None:
            """Let the power of the gateway and the hub be back."""
            began_s = time.time()
            hub.kill()
            hub.start()
            gateway.boot()
            flows(client)
            flow_s.append(time.time() - began_s)
            assert "another gateway" not in gateway.printed()

        for cut in range(cuts):
            back() if cut % 3 < 2 else gateway.boot()
            if cut % 3 > 0:
                hub.kill()
                gateway.wait_disconnected()
                gateway.sends_until(time.time() + LOST_S + 1)
            gateway.sends_until(time.time() + chance.uniform(0, LATEST_S))
            gateway.cut()
        back()
        assert not viewer.bus("far")["details"].get("lost")
        judge_gateway(client.frames, gateway.lives, flow_s)


def viewing(hub: NatsServer) -> str:
    return f'[bus.far]\ninterface = "nats"\nurl = ["{hub.url}"]\ngateway = "{GATEWAY}"\nbus = "a"\nfrom = "all"\n'


def flows(client: Client) -> None:
    """Wait for a frame that is sent from now on: all that were sent before are there, then."""
    began_s = time.time()
    poll(lambda: client.frames and client.frames[-1].timestamp_us > began_s * 1e6, what="new frames")


def judge_gateway(frames: list[Frame], lives: list[Life], flow_s: list[float]) -> None:
    """Expect the frames of each life from 0 on, once and in order, but those of its last seconds."""
    by_life: list[list[int]] = [[] for _ in range(len(lives) + 1)]
    latest = 0
    for frame in list(frames):
        life = sum(frame.timestamp_us > each.cut_s * 1e6 for each in lives)
        assert life >= latest, "frames of an earlier life are behind those of a later one"
        latest = life
        by_life[life].append(number(frame))
    for numbers in by_life:
        assert numbers, [len(each) for each in by_life]
        assert not mistakes(numbers, len(numbers)), mistakes(numbers, len(numbers))
    sent = sum(life.sent for life in lives)
    received = sum(len(numbers) for numbers in by_life[:-1])
    ages_s = [life.lost_s(len(numbers)) for life, numbers in zip(lives, by_life, strict=False)]
    LINES.append(
        f"{f'power of the gateway cut, {len(lives)} times':<44} {sent:>7} {received:>8} {max(flow_s[1:]):>12.1f} s  "
        f"{sent - received}, at most of the last {max(ages_s):.2f} s"
    )
    limit_s = busy_limit_s(LOST_S + DISK_S)
    assert max(ages_s) <= limit_s, f"frames of {max(ages_s):.1f} s before a cut are lost"


def main(cuts: int | None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine has to end, too
    for step in ("setup", "build"):
        if status := subprocess.run([HERE / "machine", step], check=False).returncode:
            return status
    make_network()
    drills: list[Callable[[Path], None]] = [
        lambda folder: gateway_drill(folder, cuts or GATEWAY_CUTS),
        lambda folder: hub_drill(folder, cuts or HUB_CUTS, always=False),
        lambda folder: hub_drill(folder, cuts or HUB_CUTS, always=True),
    ]
    failed = 0
    for drill in drills:
        with tempfile.TemporaryDirectory(prefix="cancorder-power-cut-") as folder:
            try:
                drill(Path(folder))
            except AssertionError:
                failed += 1
                traceback.print_exc()
                for log in sorted(Path(folder).glob("*/log")):
                    print(f"{log}:", log.read_text(errors="replace")[-4000:], sep="\n", file=sys.stderr)
            finally:
                Client.close_all()
    print("\n".join([HEAD, *LINES]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else None))
