"""Drills: something between a gateway's bus and a viewer's client breaks, and each frame arrives once or is counted."""

from __future__ import annotations

import os
import random
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.fleet.chain import GATEWAY, RATE, Chain, Ends
from tests.support.harness import poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.relay import Relay

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not PROGRAM, reason="nats-server is missing: tests/run installs it")

LONG = bool(os.environ.get("CANCORDER_FLEET_LONG"))
"""Whether to run the long form."""
HUB_KILLS = 20 if LONG else 3


def test_hub_killed_at_random(tmp_path: Path) -> None:
    chance = random.Random(1)
    with Chain(tmp_path) as chain:
        chain.restart_clock()
        for _ in range(HUB_KILLS):
            chain.sends(chance.randrange(100, RATE))
            chain.server.kill()
            chain.sends(chance.randrange(100, RATE))
            chain.server.start()
            chain.flows()
        assert chain.judge(f"hub killed -9, {HUB_KILLS} times") == {}


@pytest.mark.parametrize("holds", ["a part", "nothing"])
def test_hub_comes_back_with_an_older_store(holds: str, tmp_path: Path) -> None:
    """As after a power cut; those of real machines are in tests/lab/fleet_power_cut.py."""
    server = NatsServer(tmp_path / "hub")
    with server:
        Hub(server.url, GATEWAY).make_stream()
        server.kill(signal.SIGTERM)
    store, copy = server.folder / "jetstream", tmp_path / "copy"
    shutil.copytree(store, copy)
    with Chain(tmp_path, server=server) as chain:
        chain.sends(RATE)
        if holds == "a part":
            server.kill(signal.SIGTERM)
            shutil.rmtree(copy)
            shutil.copytree(store, copy)
            server.start()
            chain.flows()
        chain.sends(RATE)
        server.kill()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        chain.restart_clock()
        server.start()
        chain.flows()
        assert chain.judge(f"hub comes back and holds {holds}") == {}
        assert chain.hub.accounts()["a"].missing == 0


def test_gateway_daemon_killed(tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.sends(RATE)
        chain.restart_clock()
        workers = chain.gateway.workers()
        chain.gateway.kill()
        poll(lambda: not any(worker.is_running() for worker in workers), what="the end of its processes")
        chain.gateway.start()
        chain.flows()
        assert chain.judge("gateway daemon killed -9", lives=2) == {}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_forwarder_fails(how: signal.Signals, tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.sends(RATE)
        first = chain.forward["pid"]
        chain.restart_clock()
        os.kill(first, how)
        poll(lambda: chain.forward["pid"] not in (None, first), what="another forwarder")
        chain.flows()
        drill = f"forwarder {'killed -9' if how == signal.SIGKILL else 'stopped (SIGSTOP)'}"
        lost = chain.judge(drill, exact=False)  # what it had in memory is an estimate, at most
        assert set(lost) <= {"unknown", "feed"}


@pytest.mark.parametrize("end", ["gateway", "viewer"])
@pytest.mark.parametrize("how", ["cut", "half-open"] if LONG else ["half-open"])
def test_link_fails(end: str, how: str, tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    with Relay(server.port) as relay:
        ends = Ends(gateway=relay.url) if end == "gateway" else Ends(viewer=relay.url)
        with Chain(tmp_path, ends=ends, server=server) as chain:
            chain.sends(RATE)
            if how == "half-open":
                relay.freeze()
                chain.sends(RATE)
            relay.cut()
            chain.sends(RATE)
            chain.restart_clock()
            relay.start()
            chain.flows()
            assert chain.judge(f"link of the {end} {how}") == {}


def test_stream_deleted_and_made_again(tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.sends(RATE)
        chain.hub.delete_stream()
        chain.sends(RATE)
        chain.restart_clock()
        chain.hub.make_stream()
        chain.flows()
        lost = chain.judge("stream deleted and made again")
        assert set(lost) <= {"retention"}


def test_retention_passes_while_the_viewer_is_away(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    with (
        Relay(server.port) as relay,
        Chain(tmp_path, ends=Ends(viewer=relay.url), server=server, max_msgs=50) as chain,
    ):
        relay.cut()
        chain.sends(4 * RATE)
        chain.restart_clock()
        relay.start()
        chain.flows()
        lost = chain.judge("retention passed while the viewer was away")
        assert set(lost) == {"retention"}


def test_reload_of_forward_while_frames_flow(tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.restart_clock()
        for keys in ("flush_ms = 50", 'compress = "never"', ""):
            chain.sends(RATE // 2)
            chain.reload_forward(keys)
            chain.flows()
        assert chain.judge("reload of [forward], 3 times") == {}


@pytest.mark.skipif(not LONG, reason="long form only; test_viewing.py restarts a worker, too")
def test_viewer_restarted(tmp_path: Path) -> None:
    with Chain(tmp_path) as chain:
        chain.restart_clock()
        for _ in range(3):
            chain.sends(RATE // 2)
            assert chain.viewer.ctl("restart", "far").returncode == 0
            chain.flows()
        assert chain.judge("viewer's worker restarted, 3 times") == {}


def test_rights_revoked_and_given_back(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub")
    with Chain(tmp_path, server=server) as chain:
        chain.sends(RATE)
        server.write("authorization { user: someone, password: else }")
        server.reload()
        chain.viewer.wait_state("far", "waiting")
        poll(lambda: not chain.forward["connected"])
        chain.sends(RATE)
        chain.restart_clock()
        server.write("")
        server.reload()
        chain.flows()
        assert chain.judge("credentials revoked and given back") == {}
