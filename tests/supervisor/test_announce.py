"""What is announced; that it is heard, the lab tests with avahi."""

from __future__ import annotations

import ipaddress

import pytest

from cancorderd.config.model import MockBus, PythonCanBus
from cancorderd.supervisor.announce import addresses, own_addresses, record

OWN = ["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "fd00::5"]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (["0.0.0.0", "::"], ("192.168.1.5", "fe80::1", "fd00::5")),
        (["0.0.0.0"], ("192.168.1.5",)),
        (["::"], ("fe80::1", "fd00::5")),
        (["192.168.1.5"], ("192.168.1.5",)),
        (["127.0.0.1", "::1"], ("127.0.0.1", "::1")),
        (["127.0.0.1", "192.168.1.5"], ("192.168.1.5",)),
        (["fe80::1%eth0"], ("fe80::1",)),
    ],
)
def test_addresses_are_those_on_which_clients_can_connect(
    listen: list[str], expected: tuple[str, ...]
) -> None:
    assert addresses(listen, OWN) == expected


def test_machine_without_network_announces_loopback() -> None:
    assert addresses(["0.0.0.0", "::"], ["127.0.0.1", "::1"]) == ("127.0.0.1", "::1")


def test_record_has_the_ancestors_keys_and_the_bus() -> None:
    one = record(MockBus(name="body", interface="mock"), 42420, "rack", OWN)
    assert one.instance == "ECUconnect-Logger rack:42420"
    assert dict(one.text) == {
        "system": "rack",
        "process": "cancorderd",
        "bus": "body",
        "interface": "mock",
        "channel": "mock",
        "bitrate": "500000",
        "port": "42420",
    }


def test_service_name_and_a_bus_without_channel() -> None:
    section = PythonCanBus(name="a", interface="virtual", service_name="ECUconnect-Logger my car")
    one = record(section, 1, "rack", OWN)
    assert one.instance == "ECUconnect-Logger my car"
    assert dict(one.text)["channel"] == ""


def test_own_addresses_are_addresses() -> None:
    found = own_addresses()
    assert "127.0.0.1" in found
    assert all(ipaddress.ip_address(one) for one in found)


def test_a_bus_with_addresses_of_its_own_has_a_host_of_its_own() -> None:
    hosts = [
        record(MockBus(name="body", interface="mock", listen=listen), 42420, "rack", OWN).host
        for listen in (("0.0.0.0", "::"), ("0.0.0.0",), ("127.0.0.1",))
    ]
    assert hosts == ["cancorderd-rack.local.", "cancorderd-rack-42420.local.", "cancorderd-rack-42420.local."]
