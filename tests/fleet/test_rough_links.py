"""Drills: the gateway's link loses, delays and throttles packets (`rough_link`)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.fleet.chain import RATE, Chain, Ends
from tests.fleet.test_drills import LONG
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.rough_link import RoughHost, Roughness

if TYPE_CHECKING:
    from pathlib import Path


def obstacle() -> str:
    """Return the reason why no such link can be made here; empty if there is none."""
    if os.getuid() != 0 or not os.access("/dev/net/tun", os.W_OK):
        return "needs root and /dev/net/tun"
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        return "needs a network namespace of its own: tests.support.apart"
    return ""


pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it"),
    pytest.mark.skipif(bool(obstacle()), reason=obstacle()),
]

ROUGH = {
    "1 % of the packets lost": Roughness(loss=0.01),
    "20 % of the packets lost": Roughness(loss=0.2),
    "300 ms delay each way": Roughness(delay_s=0.3),
    "uplink of 1 Mbit/s": Roughness(bytes_per_s=125_000),
}
ALL = Roughness(loss=0.01, delay_s=0.15, bytes_per_s=125_000)
SECONDS = 30 if LONG else 3


@pytest.mark.parametrize(
    ("drill", "roughness"), ROUGH.items() if LONG else [("1 % lost, 150 ms, 1 Mbit/s", ALL)]
)
def test_link_of_the_gateway_is_rough(drill: str, roughness: Roughness, tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "hub", host="0.0.0.0")
    with RoughHost(1, Roughness()) as host:
        ends = Ends(
            gateway=f"nats://{host.hub_address}:{server.port}", viewer=f"nats://127.0.0.1:{server.port}"
        )
        with Chain(tmp_path, ends=ends, server=server, prefix=host.prefix) as chain:
            host.become(roughness)
            chain.sends(SECONDS * RATE)
            lag = sum(bus["lag_frames"] for bus in chain.forward["buses"])
            chain.restart_clock()
            host.become(Roughness())
            chain.flows()
            assert chain.judge(f"{drill}: {lag} frames waited") == {}
