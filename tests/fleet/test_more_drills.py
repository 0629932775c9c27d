"""Drills with further parts: a second gateway of the same name, a cluster of servers, a clock that is set."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cancorderd.hub.failures import HubError
from tests.fleet.chain import GATEWAY, RATE, Chain, Ends
from tests.fleet.test_drills import LONG
from tests.support.harness import ROOT, Daemon, poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer, cluster
from tests.support.numbered_frames import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

HOUR_S = 3600


def test_another_gateway_of_this_name_starts(tmp_path: Path) -> None:
    """Its frames wait on its own disk; the viewer has the first one's alone, and then, when that is gone, the second's."""
    with Chain(tmp_path) as chain:
        chain.sends(RATE // 2)
        (tmp_path / "twin").mkdir()
        table = f'[forward]\nurl = ["{chain.server.url}"]\ngateway = "{GATEWAY}"\n'
        bus = f'[bus.a]\ninterface = "mock"\npattern = "numbered"\nrate = {RATE}\nstart = "always"\nid = 0x555\n'
        with Daemon(tmp_path / "twin", table + bus) as twin:
            poll(lambda: "Set forward.gateway." in twin.status()["forward"]["reason"], what="it is told")
            assert twin.ctl("status").returncode == 3
            chain.sends(RATE)
            chain.flows()
            assert chain.judge("another gateway of this name starts") == {}
            ids = {frame.arbitration_id for frame in chain.client.frames}
            assert 0x555 not in ids
            if LONG:
                chain.gateway.stop()
                before = len(chain.client.frames)
                poll(lambda: len(chain.client.frames) > before, 200, what="the second takes over")
                ids = {frame.arbitration_id for frame in chain.client.frames[before:]}
                assert ids == {0x555}
                assert numbers(chain.client.frames[before : before + RATE]) == list(range(RATE))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[NatsServer]]:
    """Three servers that run and have met."""
    started = cluster(tmp_path / "cluster")
    try:
        for server in started:
            server.begin()
        for server in started:
            poll(server.accepts)
        poll(lambda: has_leader(started[0]), what="the servers have chosen a leader")
        yield started
    finally:
        for server in started:
            server.kill()


def has_leader(server: NatsServer) -> bool:
    """Whether a stream of three replicas can be made."""
    try:
        hub = Hub(server.url, "probe")
        hub.make_stream(num_replicas=3)
    except HubError:
        return False
    return True


class Cluster(NatsServer):
    """A cluster as the hub of a chain, which starts its stream."""

    def __init__(self, servers: list[NatsServer]) -> None:
        self.servers = servers
        self.port = servers[0].port
        self.host = servers[0].host
        self.process = None

    @property
    def url(self) -> str:
        return self.servers[0].url

    def start(self) -> Cluster:
        return self

    def kill(self, how: object = None) -> None:
        """The fixture ends the servers."""


def test_cluster_of_three_loses_a_server(tmp_path: Path, servers: list[NatsServer]) -> None:
    """The server that the gateway and the viewer use is killed, and another, after it is back."""
    urls = '", "'.join(server.url for server in servers)
    hub = Cluster(servers)
    with Chain(tmp_path, ends=Ends(urls, urls), server=hub, num_replicas=3) as chain:
        for _ in range(3 if LONG else 1):
            chain.sends(RATE)
            used = next(server for server in servers if chain.forward["url"] == server.url)
            chain.restart_clock()
            used.kill()
            chain.flows()
            chain.sends(RATE)
            used.start()
        lost = chain.judge("cluster of three loses the server in use")
        assert lost == {}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_clock_of_the_gateway_is_set(tmp_path: Path) -> None:
    library, ahead = tmp_path / "stepped_clock.so", tmp_path / "ahead"
    source = ROOT / "tests/support/stepped_clock.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    ahead.write_text("0")
    prefix = ["env", f"LD_PRELOAD={library}", f"STEPPED_CLOCK={ahead}"]
    with Chain(tmp_path, prefix=prefix) as chain:
        for seconds in (HOUR_S, -HOUR_S, 0):
            ahead.write_text(str(seconds))
            chain.sends(2 * RATE)
            last = chain.client.frames[-1]
            poll(
                lambda seconds=seconds: abs(chain.ahead_s() - seconds) < 60,  # type: ignore[misc]
                what=f"stamps {seconds} s ahead, after {last}",
            )
            assert all(bus["lag_s"] < 60 for bus in chain.forward["buses"]), chain.forward
        chain.server.kill()
        ahead.write_text(str(HOUR_S))
        chain.sends(RATE)
        chain.server.start()
        poll(lambda: not sum(bus["lag_frames"] for bus in chain.forward["buses"]) or None)
        assert chain.judge("clock of the gateway set by an hour, 4 times") == {}
