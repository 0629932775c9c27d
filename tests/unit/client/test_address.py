from __future__ import annotations

import pytest

from cancorderd.client import address
from cancorderd.client.address import connect_to, find, host_and_port
from cancorderd.client.discovery import Logger


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:42420", ("localhost", 42420)),
        ("192.168.1.20:1", ("192.168.1.20", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:42420", ("fe80::1%eth0", 42420)),
    ],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "localhost", "localhost:", ":42420", "[]:42420", "::1:42420", "42420", "localhost:0",
        "localhost:65536", "localhost:-1", "localhost:1.5", "localhost:\uff14\uff12", "localhost:can0",
    ],
)  # fmt: skip
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no logger. Write HOST:PORT, \[IPV6\]:PORT or zeroconf:NAME"):
        connect_to(text)


def test_zeroconf_without_a_name() -> None:
    with pytest.raises(ValueError, match="cancorderctl discover shows names"):
        find("")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("body", True),
        ("body@gw1", True),
        ("body@GW1.example.net", True),
        ("body@cancorderd-gw1-0a", True),
        ("body@gw2", False),
        ("rack@gw1", False),
        ("bod", False),
        ("body@", False),
        ("gw1:42420", True),
        ("ECUconnect-Logger GW1:42420", True),
        ("gw1:42421", False),
        ("gw2:42420", False),
        (":42420", False),
    ],
)
def test_a_bus_is_named_with_or_without_its_host(name: str, found: bool) -> None:
    text = {"bus": "body", "system": "gw1"}
    logger = Logger("ECUconnect-Logger body gw1:42420", "cancorderd-gw1-0a.local", ("10.0.0.7",), 42420, text)
    assert address._is_bus(logger, name) is found
