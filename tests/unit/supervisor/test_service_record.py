"""Zeroconf records: the ancestor's keys, and names and values that DNS takes, whatever they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.asyncio import AsyncServiceInfo

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.adapters.python_can_settings import PythonCanSettings
from cancorderd.config.web_settings import WebSettings
from cancorderd.protocol.service_names import SERVICE_TYPE
from cancorderd.supervisor.service_record import (
    Identity,
    Machine,
    ServiceRecord,
    numbered,
    page_record,
    reachable_addresses,
    service_record,
)

OWN = ["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "fd00::5"]
RACK = Machine("rack", "0123abcd")
BODY = MockSettings(name="body", interface="mock")


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
        (["192.168.1.6", "FD00::5"], ("fd00::5",)),
        (["192.168.1.6"], ()),
    ],
)
def test_addresses_are_those_on_which_clients_can_connect(
    listen: list[str], expected: tuple[str, ...]
) -> None:
    assert reachable_addresses(listen, OWN) == expected


def test_machine_without_network_announces_loopback() -> None:
    assert reachable_addresses(["0.0.0.0", "::"], ["127.0.0.1", "::1"]) == ("127.0.0.1", "::1")


def test_record_has_the_ancestors_keys_and_the_bus() -> None:
    record = service_record(MockSettings(name="body", interface="mock"), 42420, RACK, OWN)
    assert record.instance == "ECUconnect-Logger body rack:42420"
    assert dict(record.text) == {
        "system": "rack",
        "process": "cancorderd",
        "bus": "body",
        "interface": "mock",
        "channel": "mock",
        "bitrate": "500000",
        "port": "42420",
    }


def test_service_name_and_a_bus_without_channel() -> None:
    settings = PythonCanSettings(name="a", interface="virtual", service_name="ECUconnect-Logger my car")
    record = service_record(settings, 1, RACK, OWN)
    assert record.instance == "ECUconnect-Logger my car"
    assert dict(record.text)["channel"] == ""


def test_a_bus_with_addresses_of_its_own_has_a_host_of_its_own() -> None:
    hosts = [
        service_record(MockSettings(name="body", interface="mock", listen=listen), 42420, RACK, OWN).host
        for listen in (("0.0.0.0", "::"), ("0.0.0.0",), ("127.0.0.1",))
    ]
    assert hosts == [
        "cancorderd-rack-0123abcd.local.",
        "cancorderd-rack-0123abcd-42420.local.",
        "cancorderd-rack-0123abcd-42420.local.",
    ]


def test_cloned_machines_have_different_hosts() -> None:
    hosts = {
        service_record(BODY, 42420, Machine("raspberrypi", code), OWN).host
        for code in ("00000001", "00000002")
    }
    assert len(hosts) == 2


@pytest.mark.parametrize("hostname", ["", ".local"])
def test_a_machine_without_a_name_is_localhost(hostname: str) -> None:
    machine = Machine(hostname, "0123abcd")
    record, page = service_record(BODY, 42420, machine, OWN), page_record(WebSettings(), machine, OWN)
    assert dict(record.text)["system"] == "localhost"
    assert record.instance == "ECUconnect-Logger body localhost:42420"
    assert page.instance == "CAN buses of localhost:8642"


@pytest.mark.parametrize(
    ("service_name", "instance"),
    [
        ("ECUconnect-Logger {bus} on {host}, port {port}", "ECUconnect-Logger body on rack, port 42420"),
        ("ECUconnect-Logger {host} {host} {bus}", "ECUconnect-Logger rack rack body"),
        ("ECUconnect-Logger {x} { host } {", "ECUconnect-Logger {x} { host } {"),
    ],
)
def test_placeholders(service_name: str, instance: str) -> None:
    settings = MockSettings(name="body", interface="mock", service_name=service_name)
    assert service_record(settings, 42420, RACK, OWN).instance == instance


def test_the_one_bus_commands_keep_their_name() -> None:
    identity = Identity("canlogger", "ECUconnect-Logger Mock-UDS {host}:{port}")
    assert (
        service_record(BODY, 42420, RACK, OWN, identity).instance == "ECUconnect-Logger Mock-UDS rack:42420"
    )


def labels(name: str) -> list[str]:
    return name.removesuffix(".").split(".")


def check_sizes(record: ServiceRecord) -> None:
    """Check what DNS demands, and that zeroconf can send the record."""
    assert len(record.instance.encode()) <= 63
    assert all(0 < len(label.encode()) <= 63 for label in [*labels(record.host), *record.instance.split(".")])
    assert all(len(f"{key}={value}".encode()) <= 255 for key, value in record.text)
    assert record.instance.isprintable()
    info = AsyncServiceInfo(
        SERVICE_TYPE, f"{record.instance}.{SERVICE_TYPE}", port=record.port,
        properties=dict(record.text), server=record.host, parsed_addresses=list(record.addresses),
    )  # fmt: skip
    out = DNSOutgoing(0x8400)
    for answer in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
        out.add_answer_at_time(answer, 0)
    assert out.packets()


@pytest.mark.parametrize("size", [33, 34, 35, 39, 43, 44, 64, 253])
@pytest.mark.parametrize("listen", [("0.0.0.0", "::"), ("127.0.0.1",)])
def test_a_long_host_name_is_cut(size: int, listen: tuple[str, ...]) -> None:
    settings = MockSettings(name="body", interface="mock", listen=listen)
    record = service_record(settings, 42420, Machine("h" * size, "0123abcd"), OWN)
    check_sizes(record)
    assert record.instance == f"ECUconnect-Logger body {'h' * min(size, 34)}:42420"
    assert "-0123abcd" in record.host
    assert record.host.endswith("-0123abcd.local." if len(listen) > 1 else "-0123abcd-42420.local.")


def test_a_long_channel_is_cut() -> None:
    settings = PythonCanSettings(name="a", interface="virtual", channel="c" * 280)
    record = service_record(settings, 1, RACK, OWN)
    check_sizes(record)
    assert dict(record.text)["channel"] == "c" * (255 - len("channel="))


def test_characters_are_cut_whole() -> None:
    record = service_record(BODY, 42420, Machine("ü" * 40, "0123abcd"), OWN)
    check_sizes(record)
    assert record.instance == f"ECUconnect-Logger body {'ü' * 17}:42420"


@pytest.mark.parametrize("name", ["\udcff", "a\x1b[2Jb", "\n", "", ".", "my host", "..."])
def test_a_strange_host_name(name: str) -> None:
    check_sizes(service_record(BODY, 42420, Machine(name, "0123abcd"), OWN))


@pytest.mark.parametrize("name", ["..", " a..b", " v1.2", " end.", "." * 40, " \u202e", "x" * 99])
def test_a_strange_service_name(name: str) -> None:
    settings = MockSettings(name="body", interface="mock", service_name=f"ECUconnect-Logger{name}")
    record = service_record(settings, 42420, RACK, OWN)
    check_sizes(record)
    assert record.instance.startswith("ECUconnect-Logger")


@given(st.text(), st.text(), st.text())
def test_any_text(hostname: str, channel: str, service_name: str) -> None:
    settings = PythonCanSettings(
        name="a", interface="virtual", channel=channel, service_name=service_name or None
    )
    check_sizes(service_record(settings, 42420, Machine(hostname, "0123abcd"), OWN))


def test_a_number_fits_into_a_long_name() -> None:
    assert numbered("rack:42420", 1) == "rack:42420"
    assert numbered("rack:42420", 2) == "rack:42420-2"
    assert numbered("n" * 63, 12) == "n" * 60 + "-12"


@pytest.mark.parametrize(
    ("keys", "service"),
    [({}, "_http._tcp.local."), ({"certificate": "/c", "key": "/k"}, "_https._tcp.local.")],
)
def test_page_for_browsers(keys: dict[str, str], service: str) -> None:
    settings = WebSettings(listen=("0.0.0.0", "::"), **keys)  # type: ignore[arg-type]
    record = page_record(
        settings, Machine("rack.example.com", "0123abcd"), ["10.0.0.1", "127.0.0.1", "fd00::1"]
    )
    assert (record.service, record.port, record.text) == (service, 8642, (("path", "/"),))
    assert record.instance == "CAN buses of rack:8642"
    assert record.addresses == ("10.0.0.1", "fd00::1")
