"""The table [web]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.config.loading import ConfigurationError, load
from cancorderd.config.web_settings import WebSettings

if TYPE_CHECKING:
    from pathlib import Path

TLS = {"certificate": "/c", "key": "/k"}
EVERYWHERE = {"listen": ("0.0.0.0", "::")}


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "c.toml"
    file.write_text(text)
    try:
        load(file)
    except ConfigurationError as error:
        return [str(problem).removeprefix(f"{file}:") for problem in error.problems]
    return []


def test_without_the_table_there_is_no_page(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[daemon]\n")
    assert load(file).web is None
    file.write_text("[web]\n")
    assert load(file).web == WebSettings()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('certificate = "/c"', "certificate is set without key"),
        ('key = "/k"', "key is set without certificate"),
        ('listen = ["0.0.0.0"]\npassword_file = "/p"', "the password would cross the network in clear"),
        ('listen = ["127.0.0.1", "192.168.1.1"]\npassword_file = "/p"', "would cross the network in clear"),
        ('token_file = "/t"', "a token stands in place of the password"),
        ("control = true", "whoever can read the page could stop buses"),
        ('hosts = ["http://bench"]', "is not the name of a host"),
        ('hosts = ["bench:80"]', "is not the name of a host"),
        ("port = 0", "0 is below 1"),
        ('allow = ["bench"]', "is not a network"),
        ('password_file = "p"', 'does not begin with "/"'),
        ('colour = "red"', "unknown key"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, expected: str) -> None:
    (problem,) = problems(tmp_path, f"[web]\n{keys}\n")
    assert expected in problem
    assert ": web." in problem


@pytest.mark.parametrize(
    "keys",
    [
        'password_file = "/p"\ncontrol = true',
        'listen = ["::1"]\npassword_file = "/p"\ntoken_file = "/t"',
        'listen = ["::"]\npassword_file = "/p"\ncertificate = "/c"\nkey = "/k"\ncontrol = true',
        'listen = ["::"]',
    ],
)
def test_right_tables(tmp_path: Path, keys: str) -> None:
    assert problems(tmp_path, f"[web]\n{keys}\n") == []


def test_port_of_a_bus(tmp_path: Path) -> None:
    bus = '[bus.body]\ninterface = "mock"\nport = 8642\n'
    (problem,) = problems(tmp_path, f"{bus}[web]\n")
    assert "8642 is also the port of bus.body" in problem
    assert not problems(tmp_path, f'{bus}listen = ["192.168.1.1"]\n[web]\n')
    assert not problems(tmp_path, f"{bus}enabled = false\n[web]\n")


@pytest.mark.parametrize(
    ("keys", "may"),
    [
        ({}, False),
        ({"password_file": "/p"}, False),
        ({"password_file": "/p", "control": True}, True),
        ({"password_file": "/p", "control": True, **TLS, **EVERYWHERE}, True),
    ],
)
def test_control(keys: dict[str, Any], may: bool) -> None:
    assert WebSettings(**keys).may_control is may


@pytest.mark.parametrize(
    ("keys", "address"),
    [
        ({}, "http://127.0.0.1:8642/"),
        ({"listen": ("::1",), "port": 80}, "http://[::1]:80/"),
        ({**EVERYWHERE, **TLS}, "https://localhost:8642/"),
    ],
)
def test_address(keys: dict[str, Any], address: str) -> None:
    assert WebSettings(**keys).address == address
