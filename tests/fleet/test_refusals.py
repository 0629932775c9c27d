"""A hub that does not store the batches: frames wait, `status` says so all the time, and all arrive after the repair."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import TYPE_CHECKING

import pytest

from cancorderd.hub import headers, jetstream
from tests.fleet.chain import Chain, Ends
from tests.fleet.test_forwarding import (
    RATE,
    bus,
    drained,
    forward,
    forwarded,
    lag,
    state,
    wait_connected,
    wait_forwarded,
    wait_received,
)
from tests.support.harness import Daemon, free_port, poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.hub.connection import HubConnection

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")


def change_stream(hub: Hub, **settings: object) -> None:
    async def change(connection: HubConnection) -> None:
        found = (await jetstream.stream_info(connection, "CAN_truck-17")).config
        await jetstream.update_stream(connection, {**found, **settings})

    hub._call(change)


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ({"discard": "new", "max_msgs": 20}, {"max_msgs": -1}, "refuses batches (maximum messages exceeded)"),
        ({"subjects": ["can.truck-17.other"]}, {"subjects": ["can.truck-17.*"]}, "no stream holds can.truck-17.*"),
    ],
    ids=["full", "wrong subjects"],
)  # fmt: skip
def test_stream_that_stores_nothing(
    tmp_path: Path, wrong: dict[str, object], right: dict[str, object], reason: str
) -> None:
    with NatsServer(tmp_path / "hub") as server, Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        hub = Hub(server.url, "truck-17")
        hub.make_stream(**wrong)
        poll(lambda: reason in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        assert daemon.ctl("status").returncode == 3
        # It is tried again every few seconds.
        tries = daemon.log.read_text().count("connected to")
        wait_received(daemon, "a", 3 * RATE)
        assert not state(daemon)["connected"]
        assert daemon.log.read_text().count("connected to") == tries, "each try tells of a connection"
        change_stream(hub, **right)
        wait_connected(daemon)
        assert daemon.ctl("status").returncode == 0
        drained(daemon, hub).assert_complete()


def test_hub_that_refuses_is_offered_one_batch_at_a_time(tmp_path: Path) -> None:
    """A window of batches with each try would keep an uplink busy that somebody pays by the byte."""
    port = free_port()

    def messages_in() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz") as answer:
            return int(json.load(answer)["in_msgs"])

    with (
        NatsServer(tmp_path / "hub", f'http: "127.0.0.1:{port}"') as server,
        Daemon(tmp_path, forward(server.url) + bus("a")) as daemon,
    ):
        hub = Hub(server.url, "truck-17")
        hub.make_stream(discard="new", max_msgs=20)
        poll(lambda: "refuses batches" in state(daemon)["reason"])
        before = messages_in()
        wait_received(daemon, "a", 4 * RATE)
        # Two requests and a batch each time; and no window of some hundred.
        assert 3 <= messages_in() - before <= 30
        change_stream(hub, max_msgs=-1)
        drained(daemon, hub).assert_complete()


def test_right_that_is_missing_is_told_once(tmp_path: Path) -> None:
    """The connection ends with each try."""
    users = """authorization { users: [ { user: nobody, permissions: {
      publish: ["can.truck-17.other", "$JS.API.>"], subscribe: ["_INBOX.>"] } } ] }
    no_auth_user: nobody"""
    with (
        NatsServer(tmp_path / "hub", users) as server,
        Daemon(tmp_path, forward(server.url) + bus("a")) as daemon,
    ):
        Hub(server.url, "truck-17").make_stream()
        reason = "has no right to publish to can.truck-17.a. Add it at the hub."
        poll(lambda: reason in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        wait_received(daemon, "a", 5 * RATE)
        assert daemon.ctl("status").returncode == 3
        assert daemon.log.read_text().count(reason) == 1


def test_another_stream_has_the_subjects(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "hub") as server, Daemon(tmp_path, forward(server.url) + bus("a")) as daemon:
        hub = Hub(server.url, "truck-17")
        Hub(server.url, "other").make_stream(subjects=["can.truck-17.*"])
        hub.make_stream(subjects=["can.truck-18.*"])
        poll(lambda: "another stream holds can.truck-17.*" in state(daemon)["reason"])
        assert daemon.ctl("status").returncode == 3


def test_server_that_is_about_to_stop_is_left(tmp_path: Path) -> None:
    """In lame duck mode, JetStream answers nothing, and clients are disconnected over minutes."""
    with (
        NatsServer(tmp_path / "hub", "lame_duck_duration: 120s\nlame_duck_grace_period: 60s") as server,
        Daemon(tmp_path, forward(server.url) + bus("a")) as daemon,
    ):
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        wait_connected(daemon)
        wait_forwarded(daemon, RATE)
        assert server.process
        server.process.send_signal(signal.SIGUSR2)
        poll(lambda: "is about to stop (lame duck mode)" in daemon.log.read_text())
        poll(lambda: not state(daemon)["connected"])
        assert server.process.poll() is None
        assert daemon.ctl("status").returncode == 0, "it spools"
        server.kill()
        server.start()
        wait_connected(daemon)
        drained(daemon, hub).assert_complete()


def test_server_without_jetstream_stands_first(tmp_path: Path) -> None:
    """As one that is cut off from the rest of its cluster: connections to it are of no use."""
    useless = NatsServer(tmp_path / "useless")
    useless.file.write_text(f'listen: "{useless.host}:{useless.port}"\n')
    server = NatsServer(tmp_path / "hub")
    urls = f'{useless.url}", "{server.url}'
    with useless, Chain(tmp_path, ends=Ends(urls, urls), server=server) as chain:
        chain.sends(RATE)
        assert chain.judge("first server is of no use") == {}


@pytest.mark.parametrize("limit", [1024, 8192])
def test_bodies_keep_below_the_limit_of_the_server(tmp_path: Path, limit: int) -> None:
    settings = 'flush_ms = 500\ncompress = "never"'
    with (
        NatsServer(tmp_path / "hub", f"max_payload: {limit}") as server,
        Daemon(tmp_path, forward(server.url, settings) + bus("a")) as daemon,
    ):
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        wait_connected(daemon)
        wait_received(daemon, "a", 2 * RATE)
        drained(daemon, hub).assert_complete()
        sizes = [len(message.body) for message in hub.messages()]
        assert limit // 4 < max(sizes) <= limit - headers.HEADER_ROOM


def test_limit_of_the_server_that_is_lowered_in_an_outage(tmp_path: Path) -> None:
    """Batches that were made for the old one wait until somebody has read the reason."""
    server = NatsServer(tmp_path / "hub").start()
    settings = 'flush_ms = 500\ncompress = "never"'
    with Daemon(tmp_path, forward(server.url, settings) + bus("a", count=4 * RATE)) as daemon:
        hub = Hub(server.url, "truck-17")
        hub.make_stream()
        wait_connected(daemon)
        poll(lambda: forwarded(daemon) > 0)
        server.kill()
        poll(lambda: daemon.bus("a")["frames"]["received"] == 4 * RATE)
        server.write("max_payload: 4096")
        server.start()
        poll(lambda: "a batch of " in state(daemon)["reason"], what=f"a reason: {state(daemon)}")
        assert daemon.ctl("status").returncode == 3
        server.kill()
        server.write("")
        with server:
            poll(lambda: state(daemon)["connected"] and not lag(daemon))
            hub.accounts()["a"].assert_complete()
