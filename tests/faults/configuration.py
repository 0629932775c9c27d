"""Random edits of the configuration, each followed by a reload: at the end, nothing shows that the daemon is not fresh."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from cancorderd.client import discover
from cancorderd.control.client import ControlClient
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.watched_bus import WatchedBus
    from tests.support.harness import Daemon

MOST_BUSES = 6
LOOPBACK = 1
"""Index of `lo`, in each namespace."""
KEYS = (
    ("enabled", "false"), ("enabled", "false"), ("start", '"always"'), ("speed", "20"), ("seed", "7"),
    ("port", "43001"), ("port", "43002"), ("port", "42421"), ("zeroconf", "true"), ("zeroconf", "true"),
    ("bitrate", "250000"), ("channel", '"bench"'), ("max_clients", "2"), ("watchdog", "20"), ("record", "true"),
    ("record", "{ max_total_bytes = 1048576 }"), ("interface", '"slcan"'), ("interface", '"replay"'),
    ("service_name", '"ECUconnect-Logger bench"'), ("listen", '["127.0.0.1"]'), ("listen", '["::1", "127.0.0.1"]'),
)  # fmt: skip
"""Keys and values, some of which clash with others, or make a bus wait for its adapter."""
BROKEN = (
    "[bus.x", "[bus.x]\n", '[bus.x]\ninterface = "nonsense"\n', '[bus.a]\ninterface = "mock"\n', "nonsense = 1\n",
    '[bus.x]\ninterface = "mock"\nport = 99999\n', '[bus.x]\ninterface = "mock"\nspeed = "20"\n', "\0", "\udcff",
    '[bus.x]\ninterface = "mock"\nbitrat = 500000\n', "[bus.'']\ninterface = \"mock\"\n",
)  # fmt: skip
EDITS = st.tuples(
    st.sampled_from(
        [
            "add",
            "add",
            "add",
            "remove",
            "rename",
            "swap",
            "key",
            "key",
            "key",
            "no key",
            "move",
            "gone",
            "break",
        ]
    ),
    st.integers(0, 99),
    st.integers(0, 99),
)
_SHOWN = (
    "name", "interface", "channel", "serial", "bitrate", "enabled", "state", "port", "listen", "listen_missing", "restarts",
)  # fmt: skip
"""Values of the status that a fresh start shares."""


class Files:
    """The configuration of a daemon: its file, and a folder of included files."""

    def __init__(self, daemon: Daemon) -> None:
        self.buses: dict[str, dict[str, str]] = {}
        self.moved: set[str] = set()
        """Buses with an included file of their own."""
        self.broken = ""
        self._file = daemon.file
        self._folder = daemon.folder / "cancorder.d"
        self._head = f'include = ["{self._folder}/*.toml"]\n{daemon.file.read_text()}'

    def write(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        tables = {
            name: f"[bus.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for name, keys in self.buses.items()
        }
        for name in self.moved:
            self._folder.mkdir(exist_ok=True)
            (self._folder / f"{name}.toml").write_text(tables[name])
        own = "".join(table for name, table in tables.items() if name not in self.moved)
        self._file.write_text(self._head + own + self.broken, errors="surrogateescape")

    def edit(self, kind: str, first: int, second: int) -> None:
        """Change something; `first` and `second` choose what. An edit that is impossible adds a bus or breaks the file."""
        names = sorted(self.buses)
        if kind == "add" or (kind != "break" and not names):
            if len(names) < MOST_BUSES:
                self.buses[self._unused(first)] = {"interface": '"mock"'}
                return
            kind = "break"
        if kind == "break":
            self.broken = BROKEN[first % len(BROKEN)]
            return
        name = names[first % len(names)]
        keys = self.buses[name]
        if kind == "remove":
            self._remove(name)
        elif kind == "rename":
            new = self._unused(second)
            self.buses = {new if old == name else old: keys for old, keys in self.buses.items()}
            self.moved.discard(name)
        elif kind == "swap":
            other = names[second % len(names)]
            self.buses[name], self.buses[other] = self.buses[other], self.buses[name]
        elif kind == "key":
            key, value = KEYS[second % len(KEYS)]
            keys[key] = value
            if key == "interface":
                for odd in ("start", "speed", "seed"):
                    keys.pop(odd, None)
                keys["channel"] = '"/dev/ttyACM99"'
                if value == '"replay"':
                    keys["file"] = '"/nonexistent/trip.log"'
                    del keys["channel"]
        elif kind == "no key":
            for key in sorted(set(keys) - {"interface", "file", "channel"})[:1]:
                del keys[key]
        elif kind == "move":
            self.moved ^= {name}
        else:  # the included files are gone
            for moved in sorted(self.moved):
                self._remove(moved)

    def _remove(self, name: str) -> None:
        del self.buses[name]
        self.moved.discard(name)

    def _unused(self, number: int) -> str:
        return next(name for at in range(number, number + 100) if (name := f"b{at % 9}") not in self.buses)

    def copy_state(self) -> tuple[dict[str, dict[str, str]], set[str]]:
        return {name: dict(keys) for name, keys in self.buses.items()}, set(self.moved)

    def restore(self, state: tuple[dict[str, dict[str, str]], set[str]]) -> None:
        self.buses, self.moved = state
        self.broken = ""


def edits(folder: Path, scale: Scale) -> Row:
    """Buses are added, removed, renamed, swapped, broken, moved to included files, which vanish; bus a serves on."""
    row = Row()
    refused = 0
    if os.environ.get("CANCORDER_FAULTS_APART"):
        with IPRoute() as routes:
            routes.route("add", dst="0.0.0.0/0", oif=LOOPBACK)  # records are multicast
    slcan = SlcanBus(folder, rate=500)
    files = Files(slcan.daemon)
    with slcan as bus:
        client = ControlClient(str(bus.daemon.socket))

        @settings(
            max_examples=scale.of(60, 1000), phases=[Phase.generate], database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @seed(1)
        @given(edit=EDITS)
        def reload(edit: tuple[str, int, int]) -> None:
            nonlocal refused
            before, state = _names_and_workers(client), files.copy_state()
            files.edit(*edit)
            files.write()
            began_s = time.monotonic()
            answer = client.reload()
            row.times += 1
            row.recoveries_s.append(time.monotonic() - began_s)
            names = {"a", *files.buses}
            if "problems" in answer:
                refused += 1
                row.expect(
                    _names_and_workers(client) == before, f"a refused reload has changed a bus: {edit}"
                )
                row.expect(bool(answer["problems"]), f"no reason for the refusal of {edit}")
                files.restore(state)
                files.write()
            else:
                row.expect(not files.broken, f"a broken file was accepted: {files.broken!r}")
                row.expect(
                    set(_names_and_workers(client)) == names, f"the buses are not those of the file: {edit}"
                )

        reload()
        row.expect("problems" not in client.reload(), "the restored file is refused")
        _settle(client)
        row.accounts.append(bus.account())
        row.expect(bus.seen.connections == 1, f"{bus.seen.connections} connections of the viewer")
        row.mistakes += bus.seen.mistakes()
        row.figures |= {"refused": refused, "buses": len(files.buses)}
        _compare_with_fresh(row, bus, client)
    row.expect(
        "Traceback" not in slcan.daemon.log.read_text(errors="replace"), "there is an exception in the log"
    )
    return row


def _compare_with_fresh(row: Row, bus: WatchedBus, client: ControlClient) -> None:
    """Start the daemon anew with the same file; everything is as it was before."""
    old = _lasting_footprint(client, bus.daemon)
    bus.daemon.stop()
    bus.daemon.start()
    bus.daemon.wait_state("a", "running")
    poll(lambda: len(bus.status()["clients"]) == 1, what="the viewer is back")
    _settle(client)
    fresh = _footprint(client, bus.daemon)
    end_s = time.monotonic() + PATIENCE_S
    while _differences(old, fresh) and time.monotonic() < end_s:  # on a busy machine, buses take their time
        fresh = _footprint(client, bus.daemon)
    row.mistakes += _differences(old, fresh)


def _differences(old: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Return a sentence about each difference."""
    return [
        f"{name}: {old[name]}; after a fresh start {value}"
        for name, value in fresh.items()
        if (old[name] > value + 2 if name == "descriptors" else old[name] != value)
    ]


def _lasting_footprint(client: ControlClient, daemon: Daemon) -> dict[str, Any]:
    """Return the footprint when it is the same two times in a row: records and further attempts take their time."""
    footprint = _footprint(client, daemon)

    def lasts() -> bool:
        nonlocal footprint
        before, footprint = footprint, _footprint(client, daemon)
        return not _differences(before, footprint) and not _differences(footprint, before)

    poll(lasts, what="a footprint that lasts")
    return footprint


def _footprint(client: ControlClient, daemon: Daemon) -> dict[str, Any]:
    """Return everything that a daemon leaves on the machine and shows to its users."""
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    buses = client.status()["buses"]
    return {
        "status": [{key: bus[key] for key in _SHOWN} for bus in map(dict, buses)],
        "processes": sorted(_module(child) for child in process.children(recursive=True)),
        "listening": sorted(
            connection.laddr[:2]
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ),
        "records": sorted((logger.name, logger.port) for logger in discover(3.0)),
        "descriptors": min(len(os.listdir(f"/proc/{process.pid}/fd")) for _ in range(20)),
        "files": sorted(str(path) for path in Path(daemon.folder).glob("*") if path.name != "log"),
    }


def _module(process: psutil.Process) -> str:
    command = process.cmdline()
    return " ".join(word for word in command[1:] if word.startswith("cancorderd"))


def _names_and_workers(client: ControlClient) -> Mapping[str, int | None]:
    return {bus["name"]: bus["pid"] for bus in client.status()["buses"]}


def _settle(client: ControlClient) -> None:
    poll(
        lambda: not {bus["state"] for bus in client.status()["buses"]} & {"starting", "stopping", "backoff"},
        what="all buses have settled",
    )


DRILLS = (Drill("edits", "random edits of the files, and a reload each", edits),)
