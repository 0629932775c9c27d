"""Addresses of a hub's servers and logins: mistakes, and what never appears in a sentence."""

from __future__ import annotations

import pytest

from cancorderd.hub.access import HubAccess, ServerAddress, inbox_prefix, server_address


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("tls://hub.example.net", ServerAddress("hub.example.net", 4222, tls=True)),
        ("hub.example.net:4333", ServerAddress("hub.example.net", 4333, tls=True)),
        ("nats://127.0.0.1:1", ServerAddress("127.0.0.1", 1, tls=False)),
        ("tls://[::1]:4222/", ServerAddress("::1", 4222, tls=True)),
    ],
)
def test_server_of_a_url(url: str, server: ServerAddress) -> None:
    assert server_address(url) == server
    assert server_address(str(server)) == server


@pytest.mark.parametrize(
    "url",
    [
        "", "tls://", "http://hub", "tls://hub:x", "tls://hub:99999", "tls://hub/path", "tls://hub?x=1", "tls://[::1",
        "tls://admin:geheim@hub", "nats://geheim@hub", "tls://admin:geheim@hub:x",
    ],
)  # fmt: skip
def test_url_of_no_server_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match="Write") as raised:
        server_address(url)
    assert "geheim" not in str(raised.value)


def test_good_accesses_have_no_mistakes() -> None:
    for access in (
        HubAccess(("tls://hub",)),
        HubAccess(("tls://hub",), user="truck", password_file="/p"),
        HubAccess(("nats://localhost", "nats://127.0.0.1", "nats://[::1]"), user="truck", password_file="/p"),
        HubAccess(("nats://hub",), credentials="/c"),
        HubAccess(("tls://hub",), user="truck", certificate="/c", key="/k"),
    ):
        assert list(access.mistakes()) == []


@pytest.mark.parametrize(
    ("access", "key"),
    [
        (HubAccess(()), "url"),
        (HubAccess(("nats://hub",), user="truck", password_file="/p"), "url"),
        (HubAccess(("tls://hub",), user="truck"), "password_file"),
        (HubAccess(("tls://hub",), password_file="/p"), "user"),
        (HubAccess(("tls://hub",), credentials="/c", user="truck", password_file="/p"), "credentials"),
        (HubAccess(("tls://hub",), certificate="/c"), "key"),
        (HubAccess(("tls://hub",), key="/k"), "certificate"),
    ],
)
def test_mistake_names_its_key(access: HubAccess, key: str) -> None:
    (mistake,) = access.mistakes()
    assert mistake.key == key


def test_inbox_prefix_is_the_users_own() -> None:
    assert inbox_prefix("truck-17") == "_INBOX_truck-17"
    assert inbox_prefix(None) == inbox_prefix("a.b") == inbox_prefix("*") == "_INBOX"
