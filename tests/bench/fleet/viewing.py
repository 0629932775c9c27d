"""Cost of viewing: delay from a gateway over the hub to a client of the viewer, and speed of reading the past."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.fleet.limits import FLUSH_10
from tests.bench.fleet.load import take
from tests.bench.fleet.uplink import GATEWAY, HUB, WORKERS, forwarding, stage
from tests.bench.fleet.writer import Task
from tests.bench.measurement import cpu_s, go, line, start
from tests.bench.rows import Row
from tests.support.harness import Daemon, poll

if TYPE_CHECKING:
    import subprocess

    from tests.bench.fleet.stage import Stage

VIEWER, CLIENT = "viewer's worker", "client"
_USER = "lab"
_STORED_PER_S = 250_000
"""Frames to read, for each second of a measurement."""
_SETTLE_S = 1.0


def viewer(folder: Path, hub: Stage, since: str) -> Daemon:
    """Return a daemon that views the gateway's bus."""
    hub.add_viewer(_USER)
    folder.mkdir()
    table = f'[bus.far]\ninterface = "nats"\ngateway = "{GATEWAY}"\nbus = "bus0"\nfrom = "{since}"\n'
    return Daemon(folder, table + hub.keys(_USER))


def delay(seconds: float) -> list[Row]:
    rows = []
    title = "delay of a frame of a full bus at a client of the gateway, and over the hub at one of the viewer"
    for suffix, words in (("", title), ("-tls", "the same with a hub in a box, with TLS")):
        results = _live(seconds, boxed=bool(suffix))
        for key, quantile in (("median", "median"), ("p99", "99 %")):
            figures = {name: result[f"{key}_us"] / 1000 for name, result in results.items()}
            rows.append(Row(f"delay-{key}{suffix}", f"{words}: {quantile}", "ms", figures))
    return rows


def _live(seconds: float, *, boxed: bool) -> dict[str, dict[str, Any]]:
    """Return the results of a client of the gateway and of one of the viewer, while a full bus flows."""
    with ExitStack() as stack:
        hub, folder = stack.enter_context(stage(boxed=boxed))
        near = stack.enter_context(forwarding(hub, folder / "gateway"))
        far = stack.enter_context(viewer(folder / "viewer", hub, "now"))
        poll(lambda: far.bus("far")["state"] == "running", what="the viewer reads the hub")
        ports = {WORKERS: near.wait_port("bus0"), VIEWER: far.wait_port("far")}
        clients = {name: _client(stack, port) for name, port in ports.items()}
        time.sleep(seconds)
        results = {name: _ended(client) for name, client in clients.items()}
    for name, result in results.items():
        assert result["frames"], f"{name}: no frames"
        assert not result["gaps"], f"{name}: {result['gaps']} gaps between the frames"
    return results


def past(seconds: float) -> list[Row]:
    """Read everything that a hub has stored."""
    batches = round(_STORED_PER_S * seconds / FLUSH_10)
    rows = []
    for boxed in (False, True):
        with ExitStack() as stack:
            hub, folder = stack.enter_context(stage(boxed=boxed))
            hub.add([GATEWAY])
            task = Task(
                hub.server.port, hub.accounts([GATEWAY]), FLUSH_10, interval_s=0, seconds=300.0, buses=1,
                ca=hub.ca, most=batches,
            )  # fmt: skip
            assert take(hub, task, 1).messages == batches
            far = stack.enter_context(viewer(folder / "viewer", hub, "all"))
            poll(lambda: not far.bus("far")["reason"], what="the viewer is connected to the hub")  # noqa: B023
            rows += _past(stack, hub, far, batches * FLUSH_10, "-tls" if boxed else "")
    return rows


def _past(stack: ExitStack, hub: Stage, far: Daemon, frames: int, suffix: str) -> list[Row]:
    bus = far.bus("far")
    pids = {VIEWER: int(bus["pid"]), HUB: hub.pid}
    before = {name: cpu_s([pid]) for name, pid in pids.items()}
    client = _client(stack, int(bus["port"]), frames)
    pids[CLIENT], before[CLIENT] = client.pid, 0.0
    result = json.loads(line(client))
    cpu = {name: 100 * (cpu_s([pid]) - before[name]) / result["seconds"] for name, pid in pids.items()}
    bus = far.bus("far")
    assert not any(bus["lost"].values()), bus["lost"]
    where = " from a hub in a box, with TLS" if suffix else ""
    return [
        Row(f"past{suffix}", f"reading what is stored{where}", "frames/s", {VIEWER: result["frames"] / result["seconds"]}),
        Row(f"past-cpu{suffix}", "meanwhile", "% of a core", cpu),
    ]  # fmt: skip


def _client(stack: ExitStack, port: int, count: int = 0) -> subprocess.Popen[str]:
    client = start("fleet.client", port, count)
    stack.callback(client.communicate)
    stack.callback(client.kill)
    assert line(client) == "connected"
    return client


def _ended(client: subprocess.Popen[str]) -> dict[str, Any]:
    go(client)
    result: dict[str, Any] = json.loads(line(client))
    return result
