"""Cost of forwarding at a gateway: processor time, memory over an outage, speed of catching up."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.hub import headers
from tests.bench.fleet.slow_link import SlowLink
from tests.bench.fleet.stage import ON_DISK, Stage
from tests.bench.measurement import cpu_s, pss_mib
from tests.bench.rows import FULL_BUS, Row
from tests.support.harness import Daemon, poll
from tests.support.hub_account import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORWARDER, WORKERS, HUB = "forwarder", "gateway's workers", "hub"
GATEWAY = "truck-17"
_MANY, _MANY_RATE = 12, 2000
_SETTLE_S = 2.0
_LONG = 7.5
"""An outage, and the time before it, compared with other measurements."""
_SHORT = 2.0
_LEAST_OUTAGE_S = 3.0
"""A shorter one leaves nothing to catch up with."""
_CAUGHT_UP_S = 1.0
"""Age of the last frame in a message below which the hub has caught up when it stores it."""
_SLOW_BYTES_PER_S = 500_000
_PATIENCE_S = 120.0
_LOOK_EVERY_S = 0.2
_LOADED = 0.8
"""Least part of the wanted frames per second; the status has it of a moment."""


def gateway(folder: Path, keys: str, *, buses: int = 1, rate: int = FULL_BUS) -> Daemon:
    """Return a daemon that forwards mock buses; `keys` lead to the hub."""
    tables = "".join(
        f'[bus.bus{number}]\ninterface = "mock"\npattern = "numbered"\nrate = {rate}\nstart = "always"\n'
        for number in range(buses)
    )
    folder.mkdir()
    return Daemon(folder, f'[forward]\ngateway = "{GATEWAY}"\n{keys}{tables}')


@contextlib.contextmanager
def forwarding(
    stage: Stage, folder: Path, keys: str = "", *, buses: int = 1, rate: int = FULL_BUS
) -> Iterator[Daemon]:
    """Run such a gateway, connected to the hub; `keys` are further ones of its [forward] table."""
    stage.add([GATEWAY])
    way = "" if "url = " in keys else stage.keys(GATEWAY)
    with gateway(folder, way + keys, buses=buses, rate=rate) as daemon:
        poll(
            lambda: daemon.status()["forward"]["connected"],
            _PATIENCE_S,
            "the gateway is connected to the hub",
        )
        yield daemon


def forwarder(seconds: float) -> list[Row]:
    rows = []
    title = f"one bus of {FULL_BUS:,} frames/s (a full one)"
    for name, words, boxed, keys in (
        ("forwarder", title, False, ""),
        ("forwarder-flush-50", "the same with `flush_ms = 50`", False, "flush_ms = 50\n"),
        ("forwarder-tls", "the same to a hub in a box, with TLS", True, ""),
    ):
        with stage(boxed=boxed) as (hub, folder), forwarding(hub, folder / "gateway", keys) as daemon:
            rows.append(Row(name, words, "% of a core", shares(daemon, hub, seconds)))
    return rows


def many_buses(seconds: float) -> list[Row]:
    count = _MANY if seconds >= 1 else 2
    with (
        stage() as (hub, folder),
        forwarding(hub, folder / "gateway", buses=count, rate=_MANY_RATE) as daemon,
    ):
        figures = shares(daemon, hub, seconds, _MANY_RATE)
    title = f"{count} buses of {_MANY_RATE:,} frames/s"
    return [Row("forwarder-many-buses", title, "% of a core", figures)]


def outages(seconds: float) -> list[Row]:
    """Kill the hub for a while, with a full bus."""
    with stage(boxed=True) as (hub, folder), forwarding(hub, folder / "gateway") as daemon:
        outage_s = max(_LEAST_OUTAGE_S, _SHORT * seconds)
        time.sleep(seconds)
        found = after_outage(hub, daemon, outage_s)
    row = catching_up_row("catching-up-tls", f"after {outage_s:.0f} s, at a hub in a box, with TLS", found)
    return [*long_outage(seconds), row]


def long_outage(seconds: float) -> list[Row]:
    long_s = max(_LEAST_OUTAGE_S, _LONG * seconds)
    with stage() as (hub, folder), forwarding(hub, folder / "gateway") as daemon:
        time.sleep(long_s)
        pid = int(daemon.status()["forward"]["pid"])
        before = pss_mib(pid)
        during: list[float] = []
        found = after_outage(hub, daemon, long_s, lambda: during.append(pss_mib(pid)))
        after = most_pss(pid, _SETTLE_S)
        spool = daemon.status()["forward"]
        assert spool["pid"] == pid, "the forwarder was replaced"
    name = f"memory (PSS) with a full bus, {long_s:.0f} s after the start"
    return [
        Row("memory", name, "MiB", {FORWARDER: before}),
        Row("memory-outage", f"at most in an outage of {long_s:.0f} s", "MiB", {FORWARDER: max(during)}),
        Row("memory-after", "when it has caught up", "MiB", {FORWARDER: after}),
        catching_up_row("catching-up", "after it", found),
    ]


def catching_up_row(name: str, words: str, found: CatchingUp) -> Row:
    per_s = found.frames / found.seconds
    title = f"catching up {words}, while the bus goes on: {per_s:,.0f} frames/s"
    return Row(name, title, "times real time", {FORWARDER: per_s / FULL_BUS})


def after_outage(
    hub: Stage, daemon: Daemon, outage_s: float, look: Callable[[], object] = lambda: None
) -> CatchingUp:
    """Kill the hub, start it again after a time, and wait until the gateway has caught up; `look` now and then meanwhile."""
    hub.server.kill()
    end_s = time.monotonic() + outage_s
    while time.monotonic() < end_s:
        time.sleep(min(_LOOK_EVERY_S, outage_s / 5))
        look()
    restarted_s = time.time()
    hub.server.start()
    return caught_up(hub, daemon, restarted_s)


def slow_link(seconds: float) -> list[Row]:
    """Cut an uplink that is hardly faster than the bus."""
    cut_s = max(_LEAST_OUTAGE_S, _SHORT * seconds)
    with stage() as (hub, folder), SlowLink(hub.server.port, _SLOW_BYTES_PER_S) as link:
        keys = f'url = ["nats://127.0.0.1:{link.port}"]\n'
        with forwarding(hub, folder / "gateway", keys) as daemon:
            link.cut()
            time.sleep(cut_s)
            mended_s = time.time()
            link.mend()
            found = caught_up(hub, daemon, mended_s)
        passed = link.passed_until(found.end_s) - link.passed_until(found.begin_s)
    title = f"use of an uplink of {8 * _SLOW_BYTES_PER_S / 1e6:g} Mbit/s, catching up after {cut_s:.0f} s"
    used = {FORWARDER: 100 * passed / found.seconds / _SLOW_BYTES_PER_S}
    speed = {FORWARDER: found.frames / found.seconds / FULL_BUS}
    return [
        Row("slow-link", title, "% of it", used),
        Row("slow-link-speed", "meanwhile, while the bus goes on", "times real time", speed),
    ]


class CatchingUp(NamedTuple):
    """From the first message that the hub stores after an outage to the first one that is no older than it should be."""

    begin_s: float
    end_s: float
    """In seconds since the epoch."""
    frames: int

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s


def caught_up(stage: Stage, daemon: Daemon, since_s: float) -> CatchingUp:
    """Wait until a gateway has caught up; `since_s`, in seconds since the epoch, is the end of the outage."""

    def has_caught_up() -> bool:
        forward = daemon.status()["forward"]
        return bool(forward["connected"]) and sum(bus["lag_s"] for bus in forward["buses"]) < _CAUGHT_UP_S

    hub = Hub(stage.server.url, GATEWAY, stage.access)
    found = poll(
        lambda: catching_up(hub, since_s) if has_caught_up() else None,
        _PATIENCE_S,
        "the gateway has caught up",
    )
    assert found
    return found


def catching_up(hub: Hub, since_s: float) -> CatchingUp | None:
    """Return how a gateway caught up, from the messages at the hub; None if it has not yet."""
    frames, begin_s = 0, 0.0
    for message in hub.messages():
        stored_s = message.time_us / 1e6
        if stored_s < since_s:
            continue
        head = headers.parse(message.headers)
        begin_s = begin_s or stored_s
        if stored_s - head.last_us / 1e6 < _CAUGHT_UP_S:
            assert stored_s > begin_s, "there was nothing to catch up with"
            return CatchingUp(begin_s, stored_s, frames)
        frames += head.frames
    return None


@contextlib.contextmanager
def stage(*, boxed: bool = False) -> Iterator[tuple[Stage, Path]]:
    """Run a hub; yield it and a folder for other programs."""
    with tempfile.TemporaryDirectory(dir=ON_DISK) as temporary:
        folder = Path(temporary)
        with Stage(folder / "hub", boxed=boxed, stream_mb=500) as hub:
            yield hub, folder


def shares(daemon: Daemon, hub: Stage, seconds: float, rate: int = FULL_BUS) -> dict[str, float]:
    """Return the processor time of the processes of a gateway and its hub, in % of a core; `rate` is that of each bus."""
    status = daemon.status()
    pids = {
        FORWARDER: [int(status["forward"]["pid"])],
        WORKERS: [int(bus["pid"]) for bus in status["buses"]],
        HUB: [hub.pid],
    }
    time.sleep(min(_SETTLE_S, seconds))
    forwarded = _forwarded(daemon)
    before, began_s = {name: cpu_s(each) for name, each in pids.items()}, time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - began_s
    found = {name: 100 * (cpu_s(each) - before[name]) / passed_s for name, each in pids.items()}
    if seconds >= 1:
        _assert_loaded(daemon, rate, (_forwarded(daemon) - forwarded) / passed_s)
    return found


def _forwarded(daemon: Daemon) -> int:
    return sum(int(bus["forwarded"]) for bus in daemon.status()["forward"]["buses"])


def _assert_loaded(daemon: Daemon, rate: int, forwarded_per_s: float) -> None:
    """Assert that the buses have their frames, and the hub gets them: on a busy machine, some are left out or late."""
    buses = daemon.status()["buses"]
    for bus in buses:
        found = bus["frames"]["per_second"]
        assert found > _LOADED * rate, f"the machine is too busy: {found:g} of {rate} frames/s"
    wanted = rate * len(buses)
    assert forwarded_per_s > _LOADED * wanted, (
        f"the machine is too busy: {forwarded_per_s:.0f} of {wanted} frames/s are forwarded"
    )


def most_pss(pid: int, seconds: float) -> float:
    """Return the most memory of a process in a time."""
    most, end_s = 0.0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        most = max(most, pss_mib(pid))
        time.sleep(min(_LOOK_EVERY_S, seconds / 5))
    return most
