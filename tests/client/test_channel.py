from __future__ import annotations

import pytest

from cancorderd.client.channel import connect_to, find, host_and_port


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
        *("", ":", "localhost", "localhost:", ":42420", "[]:42420", "::1:42420", "42420"),
        *(
            "localhost:0",
            "localhost:65536",
            "localhost:-1",
            "localhost:1.5",
            "localhost:\uff14\uff12",
            "localhost:can0",
        ),
    ],
)
def test_what_names_no_logger(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no logger. Write HOST:PORT, \[IPV6\]:PORT or zeroconf:NAME"):
        connect_to(text)


def test_zeroconf_without_a_name() -> None:
    with pytest.raises(ValueError, match="cancorderctl discover shows names"):
        find("")
