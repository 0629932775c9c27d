"""Addresses of a hub's servers and logins: mistakes, and what never appears in a sentence."""

from __future__ import annotations

from typing import Any

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
        "tls://admin:geheim@hub", "nats://geheim@hub", "tls://admin:geheim@hub:x", "tls://hub:0", "tls://hub one", " tls://hub",
        "tls://hub\n", "tls://hub\\x", "tls://ad min:geheim@hub",
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
        HubAccess(
            ("nats://localhost", "nats://127.0.0.2", "nats://[::1]", "nats://[::ffff:127.0.0.1]"),
            user="truck",
            password_file="/p",
        ),
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


NO_URL = "is no URL. Write tls://HOST or tls://HOST:PORT."
SECRET = "contains a user or password. Write them as user and password_file."
NO_SERVER = "is no URL of a server. Write tls://HOST or tls://HOST:PORT."


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("tls://[::1", NO_URL),
        ("tls://hub:x", NO_URL),
        ("tls://hub:65536", NO_URL),
        ("tls://me@hub", SECRET),
        ("tls://:geheim@hub", SECRET),
        ("http://hub", "begins with http://, which is no NATS. Write tls://HOST."),
        ("tls://", NO_SERVER),
        ("tls://:4222", NO_SERVER),
        ("tls://hub/path", NO_SERVER),
        ("tls://hub?x=1", NO_SERVER),
        ("tls://hub#x", NO_SERVER),
    ],
)
def test_what_is_wrong_with_a_url(url: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        server_address(url)
    assert str(refused.value) == sentence
    assert list(HubAccess((url, "tls://hub")).mistakes()) == [("url", sentence)]


@pytest.mark.parametrize(
    ("keys", "mistakes"),
    [
        ({"url": ()}, [("url", "is empty. Write tls://HOST.")]),
        (
            {"url": ("nats://hub", "tls://hub", "nats://10.0.0.1:1"), "user": "a", "password_file": "/p"},
            [
                ("url", "nats://hub:4222: a password would cross the network unencrypted. Write tls:// instead."),
                ("url", "nats://10.0.0.1:1: a password would cross the network unencrypted. Write tls:// instead."),
            ],
        ),
        (
            {"credentials": "/c", "user": "a", "certificate": "/c", "key": "/k"},
            [("credentials", "stands beside user or password_file. Keep one of the two.")],
        ),
        (
            {"credentials": "/c", "password_file": "/p", "user": "a"},
            [("credentials", "stands beside user or password_file. Keep one of the two.")],
        ),
        (
            {"credentials": "/c", "password_file": "/p"},
            [
                ("credentials", "stands beside user or password_file. Keep one of the two."),
                ("user", "is missing beside password_file. Add it."),
            ],
        ),
        ({"password_file": "/p"}, [("user", "is missing beside password_file. Add it.")]),
        ({"user": "a"}, [("password_file", "is missing beside user. Add it.")]),
        (
            {"certificate": "/c"},
            [("key", "is missing: certificate and key belong together. Add it.")],
        ),
        ({"key": "/k"}, [("certificate", "is missing: certificate and key belong together. Add it.")]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_access(keys: dict[str, Any], mistakes: list[tuple[str, str]]) -> None:
    assert list(HubAccess(**{"url": ("tls://hub",), **keys}).mistakes()) == mistakes


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("hub", False),
        ("10.0.0.1", False),
    ],
)
def test_servers_of_this_machine(host: str, loopback: bool) -> None:
    assert ServerAddress(host, 4222, tls=False).loopback == loopback


def test_only_a_password_is_sent_to_the_server() -> None:
    assert HubAccess(("tls://hub",), user="a", password_file="/p").has_secret
    assert not HubAccess(("tls://hub",), credentials="/c").has_secret
    assert not HubAccess(("tls://hub",), user="a", certificate="/c", key="/k").has_secret


def test_servers_are_tried_in_the_order_in_which_they_are_written() -> None:
    servers = HubAccess(("tls://b", "a:1", "nats://c:2")).servers()
    assert [str(server) for server in servers] == ["tls://b:4222", "tls://a:1", "nats://c:2"]


def test_server_of_no_use_is_tried_last() -> None:
    access = HubAccess(("tls://one", "two:4222", "tls://three:1"), user="u")
    first = access.servers()[0]
    later = access.with_last(first)
    assert [server.host for server in later.servers()] == ["two", "three", "one"]
    assert [server.host for server in later.with_last(later.servers()[0]).servers()] == [
        "three",
        "one",
        "two",
    ]
    assert later.user == "u"
    alone = HubAccess(("tls://one",))
    assert alone.with_last(first) == alone
