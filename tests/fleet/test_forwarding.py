"""Frames of a real daemon reach a real nats-server, each once and in order, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.forwarder.forwarder import Forwarder
from cancorderd.hub import headers
from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.ipc.messages import GatewayLosses, NewFeed
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet
from tests.support.harness import Daemon, free_port, poll
from tests.support.hub_account import BusAccount, Hub
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.numbered_frames import ARBITRATION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

RATE = 1000
GATEWAY = "truck-17"


def bus(name: str, *, count: int = 0, keys: str = "") -> str:
    return (
        f'[bus.{name}]\ninterface = "mock"\npattern = "numbered"\nrate = {RATE}\ncount = {count}\n'
        f'start = "always"\n{keys}\n'
    )


def forward(url: str, keys: str = "") -> str:
    return f'[forward]\nurl = ["{url}"]\ngateway = "{GATEWAY}"\n{keys}\n'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub(server: NatsServer) -> Hub:
    hub = Hub(server.url, GATEWAY)
    hub.make_stream()
    return hub


def state(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.status()["forward"]
    return found


def wait_connected(daemon: Daemon) -> None:
    poll(lambda: state(daemon)["connected"], what=f"a connection to the hub: {state(daemon)}")


def forwarded(daemon: Daemon) -> int:
    return sum(int(each["forwarded"]) for each in state(daemon)["buses"])


def wait_forwarded(daemon: Daemon, frames: int) -> None:
    """Wait until the hub has acknowledged this many further frames."""
    before = forwarded(daemon)
    poll(lambda: forwarded(daemon) >= before + frames, what=f"{frames} frames at the hub: {state(daemon)}")


def wait_received(daemon: Daemon, name: str, frames: int) -> None:
    """Wait until a bus has received this many further frames."""
    before = daemon.bus(name)["frames"]["received"]
    poll(lambda: daemon.bus(name)["frames"]["received"] >= before + frames, what=f"{frames} frames on {name}")


def drained(daemon: Daemon, hub: Hub, name: str = "a") -> BusAccount:
    """Stop the bus, wait until the hub has everything, and return the account."""
    daemon.ctl("stop", name)
    poll(
        lambda: state(daemon)["connected"] and not lag(daemon), what=f"everything at the hub: {state(daemon)}"
    )
    return hub.accounts()[name]


def stands_still(hub: Hub) -> bool:
    before = hub.last_sequence()
    time.sleep(0.2)  # far longer than a message needs that is in the server's socket
    return hub.last_sequence() == before


def lag(daemon: Daemon) -> int:
    return sum(int(each["lag_frames"]) for each in state(daemon)["buses"])


def test_all_frames_arrive_once_and_in_order(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    buses = bus("a", count=3000) + bus("b", count=3000) + bus("left_out", keys="forward = false")
    with Daemon(tmp_path, forward(server.url) + buses) as daemon:
        wait_connected(daemon)
        poll(lambda: forwarded(daemon) == 6000, what=f"6000 frames at the hub: {state(daemon)}")
        accounts = hub.accounts()
        assert sorted(accounts) == ["a", "b"]
        for each in accounts.values():
            each.assert_complete()
            assert (len(each.numbers), each.repeated, each.lost.total, each.epochs) == (3000, 0, 0, {0})
        assert daemon.ctl("status").returncode == 0


def test_hub_that_is_killed_again_and_again(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        for _ in range(3):
            wait_forwarded(daemon, RATE // 2)
            server.kill()
            wait_received(daemon, "a", RATE)
            assert daemon.ctl("status").returncode == 0, "a spool that bridges an outage is no failure"
            server.start()
        wait_forwarded(daemon, RATE)
        drained(daemon, hub).assert_complete()


def test_outage_that_is_longer_than_memory(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE // 2)
        server.kill()
        spool = tmp_path / "state/forward" / GATEWAY
        poll(lambda: list(spool.glob("*.batches")), what="a file of the spool")
        wait_received(daemon, "a", 2 * RATE)
        assert state(daemon)["spool_bytes"] > 0
        server.start()
        wait_forwarded(daemon, RATE)
        drained(daemon, hub).assert_complete()
        poll(lambda: not list(spool.glob("*.batches")), what="an empty spool")


def test_outage_is_caught_up_with_in_few_messages(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    """Frames that wait anyway gather for longer than `flush_ms`."""
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE // 2)
        messages = hub.last_sequence()
        server.kill()
        poll(lambda: not state(daemon)["connected"], what="the outage is noticed")
        wait_received(daemon, "a", 3 * RATE)
        daemon.ctl("stop", "a")
        waiting = lag(daemon)
        server.start()
        drained(daemon, hub).assert_complete()
        assert waiting / (hub.last_sequence() - messages) > RATE / 30, "frames in a message"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_forwarder_that_fails(how: signal.Signals, tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        first = state(daemon)["pid"]
        psutil.Process(first).send_signal(how)
        poll(lambda: state(daemon)["pid"] not in (None, first), what="another forwarder")
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        daemon.wait_state("a", "running")
        account = drained(daemon, hub)
        account.assert_in_order()
        assert account.missing == account.lost.total, (account.lost, account.retention)


def test_forwarder_that_is_killed_in_an_outage(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    """What it had written to the disk is kept; what it had in memory is counted, exactly."""
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        server.kill()
        poll(
            lambda: list((tmp_path / "state/forward" / GATEWAY).glob("*.batches")), what="a file of the spool"
        )
        wait_received(daemon, "a", RATE)
        first = state(daemon)["pid"]
        psutil.Process(first).kill()
        poll(lambda: state(daemon)["pid"] not in (None, first), what="another forwarder")
        wait_received(daemon, "a", RATE)
        server.start()
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        account = drained(daemon, hub)
        account.assert_in_order()
        assert len(account.spools) == 2
        assert account.lost.unknown > 0
        assert account.missing == account.lost.total, (account.lost, account.retention)


def test_daemon_that_ends_in_an_outage(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, forward(server.url) + bus("a", count=2000)) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE // 2)
        server.kill()
        poll(lambda: daemon.bus("a")["frames"]["received"] == 2000)
    server.start()
    with Daemon(tmp_path, forward(server.url) + bus("b", count=1000)) as daemon:
        poll(lambda: state(daemon)["connected"] and not lag(daemon) and forwarded(daemon) >= 1000)
        accounts = hub.accounts()
        assert len(accounts["a"].numbers) == 2000
        accounts["a"].assert_complete()
        accounts["b"].assert_complete()


def test_daemon_that_is_killed(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    """Worker and forwarder end in good order when the daemon is gone."""
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        pids = [state(daemon)["pid"], daemon.bus("a")["pid"]]
        daemon.kill()
        poll(lambda: not any(psutil.pid_exists(pid) for pid in pids), what="the end of its processes")
    with Daemon(tmp_path, forward(server.url) + bus("b", count=1000)) as daemon:
        poll(lambda: state(daemon)["connected"] and not lag(daemon) and forwarded(daemon) >= 1000)
        accounts = hub.accounts()
        accounts["a"].assert_complete()
        accounts["b"].assert_complete()


@pytest.mark.parametrize("how", ["purged", "made again"])
def test_stream_that_is_emptied(how: str, tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        if how == "purged":
            forwarder = psutil.Process(state(daemon)["pid"])
            forwarder.suspend()  # a batch behind the purge would hide it
            poll(lambda: stands_still(hub), what="nothing is on its way to the hub")
            hub.purge()
            server.kill()
            forwarder.resume()
            server.start()
        else:
            hub.delete_stream()
            poll(lambda: "there is no stream" in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
            assert daemon.ctl("status").returncode == 3
            hub.make_stream()
        poll(lambda: state(daemon)["epoch"] == 1, what=f"a new epoch: {state(daemon)}")
        wait_forwarded(daemon, RATE)
        account = drained(daemon, hub)
        account.assert_in_order()
        first, last = account.numbers[0], account.numbers[-1]
        assert account.numbers == list(range(first, last + 1)), "a hole"
        assert first > 0
        assert account.epochs == {1}
        assert "new epoch" in daemon.log.read_text()


def test_another_gateway_of_this_name(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    """Frames are never mixed, and the operator learns of it."""
    foreign = BatchHead(BatchId("0123456789abcdef", 1), 0, 0, 0, 0)
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        hub.publish("a", foreign, b"")
        poll(lambda: "another gateway" in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        hub.publish("a", foreign._replace(batch=BatchId("0123456789abcdef", 2)), b"")
        poll(lambda: "another gateway is called truck-17. Set forward.gateway." in state(daemon)["reason"])
        sequence = hub.last_sequence()
        assert state(daemon)["refused"]
        assert daemon.ctl("status").returncode == 3
        wait_received(daemon, "a", RATE)
        assert hub.last_sequence() == sequence


def is_forwarder(process: psutil.Process) -> bool:
    try:
        return "cancorderd.forwarder" in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended, and nobody has noticed yet
        return False


def test_reload_while_frames_flow(tmp_path: Path, server: NatsServer, hub: Hub) -> None:
    with Daemon(tmp_path, bus("a")) as daemon:
        daemon.wait_state("a", "running")
        pid = daemon.bus("a")["pid"]
        assert daemon.status()["forward"] is None
        for keys in ("", "flush_ms = 50", 'compress = "never"'):
            daemon.write(forward(server.url, keys) + bus("a"))
            assert daemon.ctl("reload").returncode == 0
            poll(lambda: daemon.status()["forward"] is not None)
            wait_connected(daemon)
            wait_forwarded(daemon, RATE)
        assert daemon.bus("a")["pid"] == pid, "forwarding restarts no worker"
        account = drained(daemon, hub)
        account.assert_in_order()
        first, last = account.numbers[0], account.numbers[-1]
        assert account.numbers == list(range(first, last + 1)), "a hole"
        assert len(account.spools) == 3
        assert account.lost.total == 0
        daemon.write(bus("a"))
        assert daemon.ctl("reload").returncode == 0
        assert daemon.status()["forward"] is None
        poll(lambda: not any(is_forwarder(each) for each in daemon.workers()))


def test_hub_that_is_not_there(tmp_path: Path) -> None:
    port = free_port()
    with Daemon(tmp_path, forward(f"nats://127.0.0.1:{port}") + bus("a")) as daemon:
        poll(lambda: f"nats://127.0.0.1:{port}" in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        assert daemon.bus("a")["state"] == "running"
        assert daemon.ctl("status").returncode == 0


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "state/forward" / GATEWAY).glob("*.batches"))


def test_spool_that_was_damaged_while_the_daemon_was_away(
    tmp_path: Path, server: NatsServer, hub: Hub
) -> None:
    """The good part arrives, and the damaged part is counted."""
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        server.kill()
        wait_received(daemon, "a", 2 * RATE)
    segment = segments(tmp_path)[-1]
    content = bytearray(segment.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    segment.write_bytes(content)
    server.start()
    with Daemon(tmp_path, forward(server.url) + bus("b", count=100)) as daemon:
        poll(lambda: state(daemon)["connected"] and not lag(daemon) and forwarded(daemon) >= 100)
        account = hub.accounts()["a"]
        account.assert_in_order()
        assert 0 < account.missing == account.lost.spool


def test_spool_that_cannot_be_written_costs_nothing_in_a_short_outage(
    tmp_path: Path, server: NatsServer, hub: Hub
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/forward").touch()
    with Daemon(tmp_path, forward(server.url, "ram_s = 1") + bus("a")) as daemon:
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        server.kill()
        poll(
            lambda: "the spool cannot be written" in state(daemon)["reason"],
            what=f"a reason: {state(daemon)}",
        )
        server.start()
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        drained(daemon, hub).assert_complete()


def test_nats_py_that_is_missing_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: NatsServer
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/nats.py").write_text("raise ImportError('no module named nats')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=":")
    with Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        poll(lambda: "nats-py is not installed" in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        assert daemon.ctl("status").returncode == 3
        daemon.wait_state("a", "running")


def test_losses_of_a_bus_that_falls_silent_reach_the_hub(
    tmp_path: Path, server: NatsServer, hub: Hub
) -> None:
    async def live() -> None:
        settings = ForwardSettings(url=(server.url,))
        forwarder = Forwarder(settings, GATEWAY, str(tmp_path / "spool"), lambda _message: None)
        worker, stream = socket.socketpair()
        forwarder.add_feed(NewFeed("a", 1, None), stream)
        forwarder.take_losses(GatewayLosses("a", 0, 0, 0))
        with worker:
            frame = packet(1_000_000, ARBITRATION_ID, 0, bytes(8))
            worker.sendall(feed_mark(0, len(frame), 1) + frame)
            running = asyncio.create_task(forwarder.run())
            await asyncio.to_thread(poll, lambda: "a" in hub.accounts(), what="a frame at the hub")
            forwarder.take_losses(GatewayLosses("a", 7, 0, 0))
            await asyncio.to_thread(poll, lambda: hub.accounts()["a"].lost.kernel == 7, what="its loss")
            forwarder.request_end()
            await running

    asyncio.run(live())
    messages = hub.messages()
    assert [headers.parse(message.headers).frames for message in messages] == [1, 0]
