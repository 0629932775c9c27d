"""A hub with TLS whose users log in with .creds files: a gateway forwards, a viewer reads, and neither may do more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.fleet_page_as_root import TOO_SLOW
from tests.support.harness import Client, Daemon, poll
from tests.support.nats_server import PROGRAM, Authority, tls_settings
from tests.support.numbered_frames import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jwt_hub import JwtHub

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")
pytest.importorskip("nkeys")

FRAMES = 2000
GATEWAY_MAY = ["can.truck-17.*", "$JS.API.STREAM.INFO.CAN_truck-17", "$JS.API.STREAM.MSG.GET.CAN_truck-17"]
VIEWER_MAY = ["$JS.API.STREAM.INFO.*", "$JS.API.DIRECT.GET.*"]
MOCK = f'[bus.a]\ninterface = "mock"\npattern = "numbered"\nrate = 1000\ncount = {FRAMES}\nstart = "always"\n'


class Fleet:
    """A hub in `folder`, and how its users reach it."""

    def __init__(self, folder: Path) -> None:
        from tests.support.jwt_hub import JwtHub

        self.folder = folder
        self.authority = Authority(folder / "authority")
        self.hub: JwtHub = JwtHub(folder / "hub", tls_settings(*self.authority.issue("hub")))
        self.gateway = self.hub.credentials("truck-17", GATEWAY_MAY, ["_INBOX_truck-17.>"])
        self.viewer = self.hub.credentials("lab", VIEWER_MAY, ["_INBOX_lab.>", "can.*.*"])

    def access(self, credentials: Path) -> str:
        return (
            f'url = ["{self.hub.tls_url}"]\ngateway = "truck-17"\ncredentials = "{credentials}"\n'
            f'ca = "{self.authority.certificate}"\n'
        )

    def daemon(self, name: str, tables: str) -> Daemon:
        (self.folder / name).mkdir()
        return Daemon(self.folder / name, tables)

    def make_stream(self, daemon: Daemon) -> None:
        """Make the stream as its owner would, with `cancorderctl hub init`."""
        owner = self.hub.credentials("owner", [">"], [">"])
        words = ["hub", "init", self.hub.tls_url, "truck-17", "--max-gb", "1", "--credentials", str(owner)]
        words += ["--ca", str(self.authority.certificate)]

        def made() -> bool:
            done = daemon.ctl(*words)
            assert done.returncode == 0 or TOO_SLOW.search(done.stderr), done.stderr
            return done.returncode == 0

        poll(made, what="hub init")


def forward(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.status()["forward"]
    return found


def test_frames_reach_a_viewer_by_credentials_and_tls(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    with (
        fleet.hub,
        fleet.daemon("gateway", f"[forward]\n{fleet.access(fleet.gateway)}{MOCK}") as gateway,
        fleet.daemon(
            "viewer",
            f'[bus.far]\ninterface = "nats"\nbus = "a"\nfrom = "all"\n{fleet.access(fleet.viewer)}',
        ) as viewer,
    ):
        poll(lambda: "hub init" in forward(gateway)["reason"], what="the stream is missing")
        fleet.make_stream(gateway)
        with Client(viewer.wait_port("far")) as client:
            assert numbers(client.wait_frames(FRAMES)) == list(range(FRAMES))
        poll(lambda: forward(gateway)["connected"] and not forward(gateway)["buses"][0]["lag_frames"])
        seed = fleet.gateway.read_text().splitlines()[-2]
        for text in (gateway.log.read_text(), gateway.ctl("status").stdout, gateway.ctl("config").stdout):
            assert seed not in text


@pytest.mark.parametrize(
    ("user", "claims", "reason"),
    [
        ("old", {"exp": 1_700_000_000}, "the credentials have expired"),
        ("stranger", {"iss": "AAAA"}, "stranger is refused. Check /"),
    ],
    ids=["expired", "of another issuer"],
)
def test_credentials_that_do_not_hold(user: str, claims: dict[str, Any], reason: str, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    credentials = fleet.hub.credentials(user, GATEWAY_MAY, [f"_INBOX_{user}.>"], **claims)
    with (
        fleet.hub,
        fleet.daemon("gateway", f"[forward]\n{fleet.access(credentials)}{MOCK}") as gateway,
    ):
        found = poll(lambda: (now := forward(gateway))["refused"] and now)
        assert reason in found["reason"]
        assert gateway.ctl("status").returncode == 3
