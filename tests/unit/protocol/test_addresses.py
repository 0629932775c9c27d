from __future__ import annotations

from cancorderd.protocol.addresses import address_text, missing_text


def test_ipv6_address_is_written_in_brackets() -> None:
    assert address_text("192.168.1.20", 42420) == "192.168.1.20:42420"
    assert address_text("fe80::1%eth0", 42420) == "[fe80::1%eth0]:42420"


def test_missing_addresses_are_named_with_the_remedy() -> None:
    assert missing_text(["10.0.0.1", "::5"]) == (
        "listen: this machine has no address 10.0.0.1 or ::5 (yet). Correct listen, or wait for the network."
    )
