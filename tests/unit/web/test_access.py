"""Hosts, origins, networks and passwords of requests: who passes."""

from __future__ import annotations

import base64

import pytest

from cancorderd.web.access import (
    Credentials,
    Networks,
    Throttle,
    credentials,
    host_of,
    is_own_host,
    is_own_origin,
    neighbourhood,
    own_names,
)

NAMES = own_names("Rack.example.com", ["bench.example.com"])


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("rack", "rack"),
        ("Rack:8642", "rack"),
        ("127.0.0.1:8642", "127.0.0.1"),
        ("[::1]:8642", "::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_host_of_a_header(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "header",
    [
        *("localhost", "localhost:8642", "RACK", "rack.local:8642", "rack.example.com", "rack.local."),
        *("bench.example.com:443", "192.168.1.7:8642", "[::1]:8642", "[fe80::1%25eth0]:8642", "10.0.0.1"),
    ],
)
def test_own_host_is_accepted(header: str) -> None:
    assert is_own_host(header, NAMES)


@pytest.mark.parametrize(
    "header",
    [
        *("", "evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "rack.evil.com", "evil.com:8642"),
        *("rack.local.evil.com", "evilrack", "[evil.com]", "127.0.0.1@evil.com", "0x7f000001", ".local", "."),
    ],
)
def test_foreign_host_is_refused(header: str) -> None:
    assert not is_own_host(header, NAMES)


def test_machine_without_a_name_has_no_empty_name() -> None:
    assert own_names("", []) == {"localhost"}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://rack:8642", "rack:8642"),
        ("https://Rack", "rack:443"),
        ("http://rack:80", "rack"),
        ("https://[::1]:8642", "[::1]:8642"),
    ],
)
def test_own_origin_is_accepted(origin: str, host: str) -> None:
    assert is_own_origin(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.com",
        "http://rack",
        "http://rack:8643",
        "rack:8642",
        "file://rack:8642",
        "http://",
    ],
)
def test_foreign_origin_is_refused(origin: str) -> None:
    assert not is_own_origin(origin, "rack:8642")


def test_networks() -> None:
    networks = Networks(["192.168.1.0/24", "fd00::/8"])
    allowed = {
        address: networks.allow(address)
        for address in ("192.168.1.9", "192.168.2.9", "::ffff:192.168.1.9", "fd00::1", "fe80::1%eth0")
    }
    assert [*allowed.values()] == [True, False, True, True, False]
    assert Networks([]).allow("8.8.8.8")


def test_a_person_has_one_ipv4_address_or_a_64() -> None:
    assert neighbourhood("10.0.0.1") == neighbourhood("::ffff:10.0.0.1") == "10.0.0.1"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2") == "2001:db8::/64"
    assert neighbourhood("fe80::1%eth0") == "fe80::/64"
    assert neighbourhood("::1") == "::1"


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("anybody:pass:word"), Credentials(password="pass:word")),
        (basic(":größer"), Credentials(password="größer")),
        ("bearer  0123 ", Credentials(token="0123")),
        (basic("no colon"), Credentials()),
        ("Basic !!!", Credentials()),
        ("Basic", Credentials()),
        ("Digest x", Credentials()),
        ("", Credentials()),
        ("Basic " + "A" * 5000, Credentials()),
    ],
)
def test_credentials_of_a_header(header: str, expected: Credentials) -> None:
    found = credentials(header)
    assert found == expected or (len(header) > 1024 and not found.password)


def test_five_wrong_passwords_are_free_and_then_five_a_minute() -> None:
    throttle = Throttle()
    for _ in range(Throttle.FREE):
        assert throttle.wait_s("10.0.0.1", 100.0) == 0
        throttle.failed("10.0.0.1", 100.0)
    assert throttle.wait_s("10.0.0.1", 100.0) == pytest.approx(Throttle.EVERY_S)
    assert throttle.wait_s("10.0.0.1", 100.0 + Throttle.EVERY_S) == 0
    throttle.failed("10.0.0.1", 100.0 + Throttle.EVERY_S)
    assert throttle.wait_s("10.0.0.1", 100.0 + Throttle.EVERY_S) > 0
    assert throttle.wait_s("10.0.0.2", 100.0) == 0, "others may try"
    assert throttle.wait_s("10.0.0.1", 1000.0) == 0


def test_memory_of_wrong_passwords_is_bounded() -> None:
    throttle = Throttle()
    for number in range(3 * Throttle.MOST):
        throttle.failed(f"10.0.{number >> 8}.{number & 255}", 1.0)
    assert len(vars(throttle)["_due_s"]) == Throttle.MOST
