"""The Zeroconf records of a daemon on a network beside lo, as avahi sees them."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from zeroconf import IPVersion, Zeroconf

from tests.lab.guest import avahi
from tests.lab.guest.interfaces import add_address, network
from tests.support.harness import Daemon, alive, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("fresh_avahi")

BUS = """
[bus.powertrain]
interface = "socketcan"
channel = "vcan0"
bitrate = 250_000
"""
NETWORK = "lan0"
IPV4, IPV6 = "192.168.77.1", "fd00:77::1"
LATER = "192.168.78.1/24"
FAREWELL_S = 5.0
"""A withdrawn record is forgotten after one second (RFC 6762, 10.1); any other lives for minutes."""


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with network(NETWORK, f"{IPV4}/24", f"{IPV6}/64"):
        yield


def records(protocol: str) -> list[avahi.Record]:
    """Return the records that neighbours on the network receive over this protocol."""
    return [record for record in avahi.browse() if (record.interface, record.protocol) == (NETWORK, protocol)]


def announced(protocol: str = "IPv4") -> avahi.Record:
    """Wait for the only record."""
    (record,) = poll(lambda: records(protocol), what=f"a record over {protocol}")
    return record


def resolved_addresses(record: avahi.Record) -> list[str]:
    """Return all addresses of a record, as a viewer with python-zeroconf resolves them over IPv4."""
    with contextlib.closing(Zeroconf(interfaces=[IPV4], ip_version=IPVersion.V4Only)) as viewer:
        kind = f"{avahi.SERVICE_TYPE}.local."
        info = viewer.get_service_info(kind, f"{record.instance}.{kind}", timeout=5000)
    assert info
    return info.parsed_addresses()


def test_announcement_contains_everything_that_a_viewer_needs(tmp_path: Path, vcan0: str) -> None:
    with Daemon(tmp_path, BUS, zeroconf=True) as daemon:
        port = daemon.wait_port("powertrain")
        for record in (announced("IPv4"), announced("IPv6")):
            assert record.instance == f"ECUconnect-Logger powertrain {socket.gethostname()}:{port}"
            assert record.port == port
            host = re.escape(socket.gethostname())
            assert re.fullmatch(rf"cancorderd-{host}-[0-9a-f]{{8}}\.local", record.host), record
            assert record.text == {
                "system": socket.gethostname(),
                "process": "cancorderd",
                "bus": "powertrain",
                "interface": "socketcan",
                "channel": vcan0,
                "bitrate": "250000",
                "port": str(port),
            }
        addresses = set(resolved_addresses(record))
        assert addresses >= {IPV4, IPV6}
        assert not {"127.0.0.1", "::1"} & addresses


def test_record_is_withdrawn_when_the_daemon_ends(tmp_path: Path, vcan0: str) -> None:
    with Daemon(tmp_path, BUS, zeroconf=True) as daemon:
        announced()
        assert daemon.stop() == 0
        poll(lambda: not avahi.browse(), FAREWELL_S, "the record is gone")


def test_record_remains_when_the_worker_is_killed(tmp_path: Path, vcan0: str) -> None:
    with Daemon(tmp_path, BUS, zeroconf=True) as daemon:
        before = announced()
        worker = daemon.bus("powertrain")["pid"]
        psutil.Process(worker).send_signal(signal.SIGKILL)
        poll(lambda: not alive(worker), what="the worker is dead")
        assert records("IPv4") == [before]
        poll(lambda: daemon.bus("powertrain")["pid"] not in (worker, None), what="the worker is replaced")
        assert records("IPv4") == [before]


def test_address_added_later_is_announced(tmp_path: Path, vcan0: str) -> None:
    with Daemon(tmp_path, BUS, zeroconf=True), network("lan1"):
        before = announced()
        add_address("lan1", LATER)
        poll(
            lambda: LATER.partition("/")[0] in resolved_addresses(before), what="the new address is announced"
        )
        assert IPV4 in resolved_addresses(before)
        assert {record.instance for record in avahi.browse()} == {before.instance}
        poll(
            lambda: "lan1" in {record.interface for record in avahi.browse()},
            what="an announcement on the new network",
        )
