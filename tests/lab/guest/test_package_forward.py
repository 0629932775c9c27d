"""The installed package forwards to a hub in a box, from within the unit's sandbox, set up as the guide's page says."""

from __future__ import annotations

import grp
import itertools
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd import __version__
from cancorderd.hub.access import HubAccess
from cancorderd.hub.box import Box
from tests.fleet import fleet_page_as_root as page
from tests.lab.guest import package
from tests.support.harness import Client, poll
from tests.support.hub_account import BusAccount, Hub
from tests.support.nats_server import PROGRAM
from tests.support.numbered_frames import number

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/lab/run installs it")

RATE = 50
BUS = f"""
[bus.powertrain]
interface = "mock"
pattern = "numbered"
rate = {RATE}
start = "always"
"""
HOST = "hub.example.net"
BOX = Path("/etc/cancorder-hub")
OWN = Path("/etc/cancorder")
"""Folder that the page makes at the gateway."""
SPOOL = Path("/var/lib/cancorder/forward/truck-17")
RIGHTS = ["can.truck-17.*", "$JS.API.STREAM.INFO.CAN_truck-17", "$JS.API.STREAM.MSG.GET.CAN_truck-17"]


def tables() -> tuple[str, str]:
    """Return the configuration before [forward], which the page appends, and this table."""
    before, head, table = package.CONFIGURATION.read_text().rpartition("\n[forward]\n")
    assert head
    return before, f"{head}{table}"


def forward() -> dict[str, Any]:
    return package.status().get("forward") or {}


def forwarded() -> int:
    return sum(bus["forwarded"] for bus in forward().get("buses", ()) if bus["name"] == "powertrain")


def wait_forwarded() -> None:
    """Wait for further frames at the hub."""
    before = forwarded()
    poll(lambda: forwarded() > before, what=f"frames at the hub: {forward()}{package.journal()}")


def lives(hub: Hub) -> tuple[BusAccount, list[list[int]]]:
    """Return the account of the bus, and its numbers by starts of the daemon, each of which begins with 0."""
    account = hub.accounts()["powertrain"]
    found = account.numbers
    begins = [index for index, (a, b) in enumerate(itertools.pairwise(found), 1) if b <= a]
    return account, [found[a:b] for a, b in itertools.pairwise([0, *begins, len(found)])]


def assert_complete(hub: Hub) -> list[list[int]]:
    """Assert that each start's frames are there from 0 on, once and in order, and none is lost; returns them."""
    account, found = lives(hub)
    assert (account.lost.total, account.retention) == (0, 0)
    for each in found:
        assert each == list(range(len(each)))
    return found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Set up a hub and this machine as its gateway, as the page says."""
    folder = tmp_path_factory.mktemp("fleet")
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(f"{before}127.0.0.1 {HOST}\n")
    package.install(__version__)
    poll(package.running, what="the package's daemon runs")
    with package.CONFIGURATION.open("a") as file:
        file.write(BUS)
    page.run("1. The hub", folder / "hub")
    sources = {name: BOX / name for name in ("truck-17.password", "ca.pem")}
    page.bring({"truck-17.toml": folder / "hub/truck-17.toml", **sources}, folder / "gateway")
    assert "may publish to can.truck-17.powertrain" in page.run("2. The gateway", folder / "gateway")
    yield Hub(f"tls://{HOST}:4222", "truck-17", Box(BOX).access())
    Client.close_all()
    package.run("dpkg", "--purge", "cancorderd", check=False)
    package.run("systemctl", "disable", "--now", "cancorder-hub", check=False)
    for made in (BOX, OWN):
        shutil.rmtree(made, ignore_errors=True)
    hosts.write_text(before)


def test_frames_arrive_with_a_password_that_only_the_group_may_read(hub: Hub) -> None:
    found = (OWN / "hub.password").stat()
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, 0, grp.getgrnam("cancorder").gr_gid)
    wait_forwarded()
    assert_complete(hub)
    assert package.run("cancorderctl", "status").returncode == 0
    assert not list(SPOOL.glob("*.batches")), "a working uplink costs the disk nothing"


def test_restart_in_an_outage_loses_nothing(hub: Hub) -> None:
    before = len(assert_complete(hub))
    package.run("systemctl", "stop", "cancorder-hub")
    (file,) = poll(lambda: list(SPOOL.glob("*.batches")), what="a file of the spool")
    assert (file.owner(), file.group(), file.stat().st_mode & 0o777) == ("cancorder", "cancorder", 0o640)
    told = package.run("cancorderctl", "status")  # its exit status is 0
    assert "not connected" in told.stdout
    with Client(package.running()["powertrain"]) as client:
        client.wait_frames(RATE)
        package.run("systemctl", "restart", "cancorderd")
        poll(lambda: client.ended, what="the end of the earlier daemon")
        last = number(client.frames[-1])
    poll(lambda: "powertrain" in package.running(), what="the bus runs again")
    package.run("systemctl", "start", "cancorder-hub")
    wait_forwarded()
    found = assert_complete(hub)
    assert len(found) == before + 1
    assert found[-2][-1] >= last
    assert "forwarder ended" not in package.journal()


def test_reload_of_forward_while_frames_flow(hub: Hub) -> None:
    before = len(assert_complete(hub))
    pid = next(bus["pid"] for bus in package.status()["buses"] if bus["name"] == "powertrain")
    buses, forward_table = tables()
    package.CONFIGURATION.write_text(f"{buses}{forward_table}flush_ms = 50\n")
    package.run("systemctl", "reload", "cancorderd")
    wait_forwarded()
    assert len(assert_complete(hub)) == before
    assert next(bus["pid"] for bus in package.status()["buses"] if bus["name"] == "powertrain") == pid


def test_credentials_work_with_what_the_package_brings(hub: Hub, tmp_path: Path) -> None:
    """Debian's python3-nacl and the nkeys in the package sign the hub's challenge, in the sandbox."""
    from tests.support.jwt_hub import JwtHub  # it needs nkeys

    server = JwtHub(tmp_path / "jwt")
    gateway = server.credentials("truck-17", RIGHTS, ["_INBOX_truck-17.>"])
    owner = server.credentials("owner", [">"], [">"])
    shutil.copy(gateway, OWN / "hub.creds")
    shutil.chown(OWN / "hub.creds", "root", "cancorder")
    (OWN / "hub.creds").chmod(0o640)
    buses, forward_table = tables()
    with server:
        other = Hub(server.url, "truck-17", HubAccess((server.url,), credentials=str(owner)))
        other.make_stream()
        package.CONFIGURATION.write_text(
            f'{buses}\n[forward]\nurl = ["{server.url}"]\ngateway = "truck-17"\ncredentials = "{OWN}/hub.creds"\n'
        )
        checked = package.run("cancorderctl", "hub", "check").stdout
        assert "may publish to can.truck-17.powertrain" in checked
        began_s = time.time()
        package.run("systemctl", "reload", "cancorderd")
        poll(lambda: forward().get("connected"), what=f"connected: {forward()}")
        wait_forwarded()
        account, _ = lives(other)
        account.assert_in_order()
        assert account.lost.total == 0
        assert other.messages()[-1].time_us > began_s * 1e6
        package.CONFIGURATION.write_text(f"{buses}{forward_table}")
        package.run("systemctl", "reload", "cancorderd")
        wait_forwarded()
    assert hub
