"""Two gateways, a hub in a box and a viewer, each on a machine of its own; the links of both gateways are cut while full buses run.

    unshare --net --mount --pid --fork --kill-child --mount-proc python -m tests.fleet.outage_as_root FOLDER CUT_S RATE

The machines are network namespaces. The viewer's bus of each gateway is printed by `cancorderctl dump`, and the second also stored by
python-can's `can_logger`; both have to show every number, each once and in order. Prints what `status` said, and a line for the table.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any, Self

import pexpect
import psutil

from tests.fleet.fleet_page_as_root import TOO_SLOW
from tests.support.harness import PATIENCE_S, ROOT, Daemon, poll
from tests.support.hosts import Host
from tests.support.hub_box import HubBox
from tests.support.network_namespace import bring_loopback_up
from tests.support.terminal import command_line

GATEWAYS = ("truck-1", "truck-2")
BUS = "powertrain"
_NOTICED_S = 45.0
"""A connection over a link that is cut ends after three pings, of 10 s each, or 30 s without an acknowledgement."""
_LOOK_EVERY_S = 2.0


class Numbers:
    """Account of lines in candump's format for log files, whose payloads are numbered."""

    def __init__(self) -> None:
        self.frames = 0
        self.first = self.last = -1
        self.stamp_s = 0.0
        self.mistakes: list[str] = []

    def take(self, line: bytes) -> None:
        stamp, _, rest = line.partition(b" ")
        number = int(rest[rest.index(b"#") + 1 :].split()[0], 16)
        if not self.frames:
            self.first = number
        elif number != self.last + 1:
            self.mistakes.append(f"{number} follows {self.last}")
        self.frames += 1
        self.last = number
        self.stamp_s = float(stamp[1:-1])

    def expect_all(self, what: str, last: int) -> None:
        """Assert that there is every number from the first to `last`, or beyond, once and in order."""
        assert not self.mistakes, f"{what}: {self.mistakes[:5]}, {len(self.mistakes)} in all"
        assert self.last >= last, f"{what} ends with {self.last}, before {last}"
        assert self.frames == self.last - self.first + 1


class Dump:
    """`cancorderctl dump` of a viewer's bus, and the account of what it prints."""

    def __init__(self, host: Host, viewer: Daemon, bus: str) -> None:
        self.numbers = Numbers()
        self.process = subprocess.Popen(
            [*host.prefix, *command_line(viewer, "dump", "-L", bus)], stdout=subprocess.PIPE, cwd=ROOT
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.numbers.take(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self._thread.join(PATIENCE_S)
        self.process.wait(PATIENCE_S)


class Logger:
    """python-can's logger at a viewer's port."""

    def __init__(self, host: Host, port: int, file: Path) -> None:
        program = Path(sysconfig.get_path("scripts"), "can_logger")
        self._file = file
        self._process = subprocess.Popen(
            [*host.prefix, program, "-i", "ecuconnect", "-c", f"127.0.0.1:{port}", "-f", file],
            stdout=subprocess.DEVNULL, cwd=ROOT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def end(self) -> Numbers:
        """End the logger, and return the account of its file."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        numbers = Numbers()
        with self._file.open("rb") as lines:
            for line in lines:
                numbers.take(line)
        return numbers


class Gateway:
    """A gateway on a machine of its own."""

    def __init__(self, folder: Path, name: str, host: Host, hub: HubBox, rate: int) -> None:
        self.name = name
        password = hub.box.add_gateway(name)
        self.host = host
        folder.mkdir()
        self.daemon = Daemon(
            folder,
            f'[forward]\nurl = ["tls://{host.hub_address}:{hub.port}"]\ngateway = "{name}"\nuser = "{name}"\n'
            f'password_file = "{password}"\nca = "{password.parent / "ca.pem"}"\n'
            f'[bus.{BUS}]\ninterface = "mock"\npattern = "numbered"\nrate = {rate}\nstart = "always"\n',
        )
        self.daemon.prefix = host.prefix

    @property
    def forward(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.status()["forward"]
        return found

    @property
    def lag_frames(self) -> int:
        return sum(int(bus["lag_frames"]) for bus in self.forward["buses"])

    def sent(self) -> int:
        return int(self.daemon.bus(BUS)["frames"]["received"])

    def told(self, since_s: float) -> str:
        """Return what `cancorderctl status` says of forwarding, with its exit status."""
        done = self.daemon.ctl("status")
        text = " ".join("".join(done.stdout.partition("forwarding as")[1:]).split())
        memory_mib = psutil.Process(self.forward["pid"]).memory_info().rss >> 20
        return f"{time.monotonic() - since_s:5.0f} s  exit status {done.returncode}  {memory_mib} MiB  {text}"


def outage(gateways: list[Gateway], cut_s: float) -> None:
    """Cut all links for a time, and expect that `status` says so all along."""
    for gateway in gateways:
        gateway.host.cut()
    began_s = time.monotonic()
    next_told_s = 1.0
    while (passed_s := time.monotonic() - began_s) < cut_s:
        for gateway in gateways:
            forward = gateway.forward
            if passed_s > _NOTICED_S:
                assert not forward["connected"], f"{gateway.name} takes itself for connected: {forward}"
                assert forward["reason"], forward
            assert not forward["losing"], forward
            assert not forward["refused"], forward
        if passed_s >= next_told_s:
            print(gateways[0].told(began_s), flush=True)
            next_told_s *= 2
        time.sleep(min(_LOOK_EVERY_S, cut_s / 4))
    for gateway in gateways:
        poll(lambda gateway=gateway: gateway.lag_frames, what="frames wait")  # type: ignore[misc]
        assert gateway.daemon.ctl("status").returncode == 0, "a spool that bridges an outage is no failure"
        gateway.host.mend()


def shown_by_can_viewer(host: Host, port: int) -> None:
    """Expect that python-can's viewer shows the bus."""
    program = str(Path(sysconfig.get_path("scripts"), "can_viewer"))
    words = [*host.prefix, program, "-i", "ecuconnect", "-c", f"127.0.0.1:{port}"]
    screen = pexpect.spawn(words[0], words[1:], encoding="utf-8", dimensions=(30, 120), timeout=PATIENCE_S)
    screen.expect("0x100")
    screen.send("q")
    screen.expect(pexpect.EOF)
    screen.close()


def caught_up(dumps: list[Dump]) -> bool:
    """Whether frames are printed within a second of their time stamp."""
    return all(time.time() - dump.numbers.stamp_s < 1.0 for dump in dumps)


def drill(folder: Path, hosts: list[Host], cut_s: float, rate: int) -> None:
    *gateway_hosts, viewer_host = hosts
    hub = HubBox(folder / "hub", names=[host.hub_address for host in hosts] + ["127.0.0.1"], host="0.0.0.0")
    password = hub.box.add_viewer("lab")
    access = f'user = "lab"\npassword_file = "{password}"\nca = "{hub.box.folder / "ca.pem"}"\nfrom = "all"\n'
    (folder / "viewer").mkdir()
    viewer = Daemon(
        folder / "viewer",
        "".join(
            f'[bus.{name}]\ninterface = "nats"\nurl = ["tls://{viewer_host.hub_address}:{hub.port}"]\n'
            f'gateway = "{name}"\nbus = "{BUS}"\nclient_backlog = 16000000\n{access}'
            for name in GATEWAYS
        ),
    )
    viewer.prefix = viewer_host.prefix
    gateways = [
        Gateway(folder / name, name, host, hub, rate)
        for name, host in zip(GATEWAYS, gateway_hosts, strict=True)
    ]
    with hub:
        init(hub, hosts[0].hub_address)
        with gateways[0].daemon, gateways[1].daemon, viewer:
            follow(folder, gateways, viewer, viewer_host, cut_s)


def init(hub: HubBox, address: str) -> None:
    words = ["hub", "init", f"tls://{address}:{hub.port}", *GATEWAYS, "--max-gb", "2", "--user", "admin"]
    words += [
        "--password-file",
        str(hub.box.folder / "admin.password"),
        "--ca",
        str(hub.box.folder / "ca.pem"),
    ]
    command = [sys.executable, "-m", "cancorderd.cli.cancorderctl", *words]
    done = poll(lambda: ended_well(command), what="hub init")
    print(done)


def ended_well(command: list[str]) -> str:
    """Return what a command prints, or nothing if it was too slow on a busy machine."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0 or TOO_SLOW.search(done.stderr), done.stderr
    return done.stdout


def follow(folder: Path, gateways: list[Gateway], viewer: Daemon, host: Host, cut_s: float) -> None:
    """Let frames flow, cut the links, and expect every frame at the viewer."""
    ports = [viewer.wait_port(name) for name in GATEWAYS]
    with (
        Dump(host, viewer, GATEWAYS[0]) as one,
        Dump(host, viewer, GATEWAYS[1]) as two,
        Logger(host, ports[1], folder / "logged.log") as logger,
    ):
        dumps = [one, two]
        poll(
            lambda: all(dump.numbers.frames for dump in dumps) and caught_up(dumps),
            what="frames at the viewer",
        )
        poll(lambda: len(viewer.bus(GATEWAYS[1])["clients"]) == 2, what="the logger is connected")
        began = [gateway.sent() for gateway in gateways]
        outage(gateways, cut_s)
        mended_s, mended = time.monotonic(), time.time()
        poll(lambda: all(gateway.forward["connected"] for gateway in gateways), what="both are connected")
        connected_s = time.monotonic() - mended_s
        print(gateways[0].told(mended_s), flush=True)
        patience_s = PATIENCE_S + 2 * cut_s
        poll(lambda: max(gateway.lag_frames for gateway in gateways) < 5000, patience_s, "all is at the hub")
        at_hub_s = time.monotonic() - mended_s
        print(gateways[0].told(mended_s), flush=True)
        poll(
            lambda: all(dump.numbers.stamp_s > mended for dump in dumps),
            patience_s,
            "frames at the viewer that were sent after the cut",
        )
        new_s = time.monotonic() - mended_s
        new = two.numbers.last
        shown_by_can_viewer(host, ports[0])
        for gateway in gateways:
            gateway.daemon.ctl("stop", BUS)
        last = [gateway.sent() - 1 for gateway in gateways]
        poll(lambda: [dump.numbers.last for dump in dumps] == last, patience_s, f"{last} at the viewer")
        for name, dump, end in zip(GATEWAYS, dumps, last, strict=True):
            assert dump.numbers.first == 0
            dump.numbers.expect_all(f"dump of {name}", end)
        logger.end().expect_all("can_logger", new)  # its last frames may be in the socket
        lost = [viewer.bus(name)["details"].get("lost", "") for name in GATEWAYS]
        assert lost == ["", ""], lost
    sent = sum(last) + 2
    print(
        f"links of two gateways cut for {cut_s:.0f} s: {sent} frames sent ({sum(began)} before the cut), "
        f"{sum(dump.numbers.frames for dump in dumps)} received; connected after {connected_s:.1f} s, all at the hub "
        f"after {at_hub_s:.1f} s, new frames at the viewer after {new_s:.1f} s; lost none"
    )


def main() -> None:
    bring_loopback_up()
    with Host(1) as one, Host(2) as two, Host(3) as viewer:
        drill(Path(sys.argv[1]), [one, two, viewer], float(sys.argv[2]), int(sys.argv[3]))


if __name__ == "__main__":
    main()
