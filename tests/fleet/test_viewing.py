"""A bus viewed at a hub: a real nats-server, a staged gateway, a real daemon and its clients."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.numbered_frames import numbers
from tests.support.staged_gateway import StagedGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not PROGRAM, reason="nats-server is missing: tests/run installs it")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def gateway(hub: NatsServer) -> Iterator[StagedGateway]:
    with StagedGateway(hub.url) as staged:
        staged.make_stream()
        yield staged


def viewer(hub: NatsServer, folder: Path, **keys: object) -> Daemon:
    lines = "".join(f'{key.rstrip("_")} = "{value}"\n' for key, value in keys.items())
    return Daemon(
        folder,
        f'[bus.far]\ninterface = "nats"\nurl = ["{hub.url}"]\ngateway = "truck"\nbus = "body"\n{lines}',
    )


def moment(stamp_us: int) -> str:
    return datetime.fromtimestamp(stamp_us / 1e6, UTC).isoformat()


def test_live_frames_reach_the_clients_in_order_whatever_else_the_gateway_sends(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    gateway.send("body", 5)
    with viewer(hub, tmp_path) as daemon, Client(daemon.wait_port("far")) as client:
        poll(lambda: daemon.bus("far")["details"].get("position") == "live")
        for _ in range(20):
            gateway.send("other", 3)
            gateway.send("body", 10, compress=True)
            gateway.send("body", 1)
        assert numbers(client.wait_frames(220)) == list(range(5, 225))
        bus = daemon.bus("far")
    assert bus["channel"] == "truck/body"
    assert bus["lost"] == {"kernel": 0, "adapter": 0, "clients": 0, "unknown": 0}


def test_past_begins_with_the_first_client_and_goes_on_live(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    gateway.send_many("body", 300, 100)
    with viewer(hub, tmp_path, from_="all") as daemon:
        port = daemon.wait_port("far")
        assert daemon.wait_state("far", "running")["frames"]["received"] == 0
        with Client(port) as client:
            client.wait_frames(30_000)
            gateway.send("body", 10)
            assert numbers(client.wait_frames(30_010)) == list(range(30_010))


def test_past_waits_for_the_slowest_client(hub: NatsServer, gateway: StagedGateway, tmp_path: Path) -> None:
    gateway.send_many("body", 300, 2000)
    with viewer(hub, tmp_path, from_="all") as daemon:
        # 13 MB: more than the kernel's buffers and the backlog take together
        with Client(daemon.wait_port("far"), reads=False) as client:
            before = poll(lambda: daemon.bus("far")["frames"]["received"])
            client.start_reading()
            assert numbers(client.wait_frames(600_000)) == list(range(600_000))
            assert before < 600_000
        assert daemon.bus("far")["lost"]["clients"] == 0


def test_from_and_to_are_time_stamps_of_frames(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    now_us = time.time_ns() // 1000
    begin_us = now_us - 3_600_000_000
    for index in range(100):  # one frame each millisecond, an hour ago
        gateway.send("body", 10, stamp_us=begin_us + 10_000 * index)
        gateway.send("other", 1)
    # The ten frames of a batch follow each other by a microsecond.
    keys = {"from_": moment(begin_us + 300_005), "to": moment(begin_us + 500_003)}
    with viewer(hub, tmp_path, **keys) as daemon, Client(daemon.wait_port("far")) as client:
        found = numbers(client.wait_frames(199))
        poll(lambda: "delivered" in daemon.bus("far")["details"]["position"])
        assert found == list(range(305, 504))
        assert len(client.frames) == 199


def test_begin_in_the_future_is_shown(hub: NatsServer, gateway: StagedGateway, tmp_path: Path) -> None:
    gateway.send("body", 1)
    later = moment(time.time_ns() // 1000 + 86_400_000_000)
    with viewer(hub, tmp_path, from_=later) as daemon, Client(daemon.wait_port("far")):
        poll(lambda: daemon.bus("far")["details"]["position"] == 'waits for "from", which is in the future')


def test_what_was_lost_on_the_way_is_counted_by_place(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    with viewer(hub, tmp_path) as daemon, Client(daemon.wait_port("far")) as client:
        poll(lambda: daemon.bus("far")["details"].get("position") == "live")
        gateway.lose("body", kernel=100)  # before the first message: nobody missed these here
        gateway.send("body", 1)
        gateway.lose("body", kernel=1, adapter=2, unknown=3, feed=4, spool=5)
        gateway.send("body", 1)
        gateway.batch("body", 6)  # never reaches the hub
        gateway.send("body", 1)
        client.wait_frames(3)
        bus = poll(lambda: (found := daemon.bus("far"))["lost"]["adapter"] and found)
    assert bus["details"]["lost"] == "kernel 1, adapter 2, unknown 3, feed 4, spool 5, retention 6"
    assert (bus["lost"]["kernel"], bus["lost"]["adapter"]) == (1, 20)


def test_message_without_frames_reports_what_a_silent_bus_has_lost(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    with viewer(hub, tmp_path, from_="all") as daemon, Client(daemon.wait_port("far")) as client:
        gateway.send("body", 10)
        gateway.lose("body", kernel=4)
        gateway.send("body", 0)
        client.wait_frames(10)
        poll(lambda: daemon.bus("far")["details"].get("lost") == "kernel 4")
        gateway.send("body", 5)
        assert numbers(client.wait_frames(15)) == [*range(10), *range(14, 19)]
        assert daemon.bus("far")["lost"] == {"kernel": 4, "adapter": 0, "clients": 0, "unknown": 0}


def test_repeated_batches_show_nowhere(hub: NatsServer, gateway: StagedGateway, tmp_path: Path) -> None:
    batches = [gateway.batch("body", 10) for _ in range(3)]
    for index in (0, 1, 0, 1, 2, 1):
        gateway.publish(batches[index])
    with viewer(hub, tmp_path, from_="all") as daemon, Client(daemon.wait_port("far")) as client:
        client.wait_frames(30)
        gateway.send("body", 1)
        assert numbers(client.wait_frames(31)) == list(range(31))
        poll(lambda: daemon.bus("far")["details"].get("repeated") == "3 messages, left out")


def test_hub_that_is_killed_is_waited_for_and_clients_stay(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    with viewer(hub, tmp_path, from_="all") as daemon, Client(daemon.wait_port("far")) as client:
        for life in range(3):
            gateway.send("body", 10)
            client.wait_frames(10 * (life + 1))
            hub.kill()
            assert hub.url in daemon.wait_state("far", "waiting")["reason"]
            hub.start()
            gateway.reconnect()
        gateway.send("body", 10)
        assert numbers(client.wait_frames(40)) == list(range(40))
        assert daemon.bus("far")["restarts"] == 0


def test_stream_that_is_missing_is_waited_for(hub: NatsServer, tmp_path: Path) -> None:
    with viewer(hub, tmp_path, from_="all") as daemon, StagedGateway(hub.url) as staged:
        assert "hub init" in daemon.wait_state("far", "waiting")["reason"]
        staged.make_stream()
        staged.send("body", 3)
        with Client(daemon.wait_port("far")) as client:
            assert numbers(client.wait_frames(3)) == [0, 1, 2]


def test_stream_that_is_made_again_is_read_from_its_beginning(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    repeated = gateway.batch("body", 10)
    gateway.publish(repeated)
    with viewer(hub, tmp_path, from_="all") as daemon, Client(daemon.wait_port("far")) as client:
        client.wait_frames(10)
        gateway.delete_stream()
        gateway.make_stream()
        gateway.publish(repeated)
        gateway.send("body", 10)
        assert numbers(client.wait_frames(20)) == list(range(20))
        daemon.wait_log("was made again")


def test_older_copy_of_the_stream_is_read_again_from_the_last_known_message(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    for _ in range(20):
        gateway.send("body", 10)
    copy = hub.folder / "copy"
    store = hub.folder / "jetstream"
    hub.kill(signal.SIGTERM)
    os.system(f"cp -a {store} {copy}")
    hub.start()
    gateway.reconnect()
    with viewer(hub, tmp_path, from_="all") as daemon, Client(daemon.wait_port("far")) as client:
        for _ in range(10):
            gateway.send("body", 10)
        client.wait_frames(300)
        hub.kill()
        os.system(f"rm -r {store} && cp -a {copy} {store}")
        hub.start()
        gateway.reconnect()
        # What the hub forgot is sent again in part; then new frames use the sequence numbers a second time.
        gateway.number -= 5
        gateway.before["body"] -= 50
        gateway.sent["body"] -= 50
        for _ in range(30):
            gateway.send("body", 10)
        found = numbers(client.wait_frames(550))
        assert found == list(range(550))
        daemon.wait_log("older copy")


def test_restarted_worker_goes_on_behind_the_last_message(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    with viewer(hub, tmp_path) as daemon, Client(daemon.wait_port("far")) as client:
        poll(lambda: daemon.bus("far")["details"].get("position") == "live")
        gateway.send("body", 10)
        client.wait_frames(10)
        for life in range(1, 4):
            assert daemon.ctl("restart", "far").returncode == 0
            gateway.send("body", 10)
            client.wait_frames(10 * (life + 1))
        assert numbers(client.frames) == list(range(40))
        assert daemon.bus("far")["lost"]["unknown"] == 0


def test_worker_that_was_killed_loses_nothing(
    hub: NatsServer, gateway: StagedGateway, tmp_path: Path
) -> None:
    with viewer(hub, tmp_path) as daemon:
        port = daemon.wait_port("far")
        with Client(port) as client:
            poll(lambda: daemon.bus("far")["details"].get("position") == "live")
            gateway.send("body", 10)
            client.wait_frames(10)
            # The position is in the worker's last report.
            poll(lambda: daemon.bus("far")["frames"]["received"] == 10)
            pid = daemon.bus("far")["pid"]
            os.kill(pid, signal.SIGKILL)
            poll(lambda: client.ended)
        gateway.send("body", 10)
        poll(lambda: daemon.bus("far")["pid"] not in (None, pid))
        with Client(daemon.wait_port("far")) as client:
            gateway.send("body", 10)
            found = numbers(client.wait_frames(1))
            poll(lambda: client.frames and numbers(client.frames)[-1] == 29)
            found = numbers(client.frames)
        assert found == list(range(found[0], 30))
        assert daemon.bus("far")["lost"]["unknown"] == 0
