"""The table [forward]: every mistake with its line and a remedy; secrets stand in files only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.config.loading import ConfigurationError, load

if TYPE_CHECKING:
    from pathlib import Path

BUS = '[bus.a]\ninterface = "mock"\n'
SECRET = "correct-horse"


def problems(folder: Path, table: str) -> list[str]:
    file = folder / "main.toml"
    file.write_text(f"{BUS}[forward]\n{table}\n")
    try:
        load(file)
    except ConfigurationError as error:
        return [str(problem).removeprefix(f"{folder}/") for problem in error.problems]
    return []


def secret_file(folder: Path, mode: int = 0o640) -> Path:
    file = folder / "secret"
    file.write_text(SECRET)
    file.chmod(mode)
    return file


def test_table_without_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "main.toml"
    secret = secret_file(tmp_path)
    file.write_text(
        f'{BUS}[forward]\nurl = ["tls://a", "tls://b:4223"]\ngateway = "truck-17"\nuser = "truck-17"\n'
        f'password_file = "{secret}"\nspool_mb = 10\n'
    )
    settings = load(file).forward
    assert settings == ForwardSettings(
        url=("tls://a", "tls://b:4223"),
        gateway="truck-17",
        user="truck-17",
        password_file=str(secret),
        spool_mb=10,
    )


def test_no_table_is_no_forwarding(tmp_path: Path) -> None:
    file = tmp_path / "main.toml"
    file.write_text(BUS)
    assert load(file).forward is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", "main.toml:3: forward.url: the key is missing. Write url = "),
        ("url = []", "main.toml:4: forward.url: is empty. Write tls://HOST."),
        ('url = ["http://a"]', 'main.toml:4: forward.url[0]: "http://a" begins with http://, which is no NATS. Write tls://HOST.'),
        ('url = ["nats://a"]\ngateway = "a.b"', 'main.toml:5: forward.gateway: "a.b" cannot be the name of a gateway. Use 1 to 64 '),
        ('url = ["nats://a"]\nuser = "x"', "main.toml:"),
        ('url = ["nats://a"]\nflush_ms = 0', "main.toml:5: forward.flush_ms: 0 is below 1. Use a time such as 10 (ms)."),
        ('url = ["nats://a"]\ncompress = "zstd"', 'main.toml:5: forward.compress: there is no compress "zstd". Write "auto" or "never".'),
        ('url = ["nats://a"]\nca = "/nowhere/ca.pem"', 'main.toml:5: forward.ca: there is no file "/nowhere/ca.pem". Create it, or correct the path.'),
        ('url = ["nats://a"]\nca = "/"', 'main.toml:5: forward.ca: "/" is not a file. Name a file.'),
        ('url = ["nats://a"]\nport = 3', "main.toml:5: forward.port: unknown key. "),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_a_remedy(table: str, expected: str, tmp_path: Path) -> None:
    found = problems(tmp_path, table)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_password_in_a_url_is_a_mistake_and_is_not_repeated(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f'url = ["tls://me:{SECRET}@hub"]')
    assert "contains a user or password" in found
    assert SECRET not in found


def test_password_over_a_network_without_tls_is_a_mistake(tmp_path: Path) -> None:
    secret = secret_file(tmp_path)
    keys = f'user = "a"\npassword_file = "{secret}"'
    (found,) = problems(tmp_path, f'url = ["nats://hub"]\n{keys}')
    assert "a password would cross the network unencrypted. Write tls:// instead." in found
    assert problems(tmp_path, f'url = ["nats://127.0.0.1"]\n{keys}') == []


@pytest.mark.parametrize("key", ["credentials", "password_file", "key"])
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_secret_that_others_may_read_or_change_is_a_mistake(key: str, mode: int, tmp_path: Path) -> None:
    further = {
        "password_file": 'user = "a"',
        "key": f'certificate = "{secret_file(tmp_path)}"',
        "credentials": "",
    }
    file = tmp_path / "open"
    file.write_text(SECRET)
    file.chmod(mode)
    found = problems(tmp_path, f'url = ["tls://a"]\n{further[key]}\n{key} = "{file}"')
    assert len(found) == 1, found
    assert f"forward.{key}: every user of this machine may" in found[0]
    assert f"Run chmod o= {file}" in found[0]


def test_forward_in_a_drop_in_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[forward]\nurl = ["tls://a"]\n')
    file = tmp_path / "main.toml"
    file.write_text(f'include = ["d.toml"]\n{BUS}')
    with pytest.raises(ConfigurationError, match="a drop-in file holds tables"):
        load(file)


@pytest.mark.parametrize(
    ("defaults", "own", "forwarded"),
    [("", "", True), ("", "forward = false", False), ("forward = false", "", False), ("forward = false", "forward = true", True)],
)  # fmt: skip
def test_each_bus_is_forwarded_or_left_out(defaults: str, own: str, forwarded: bool, tmp_path: Path) -> None:
    file = tmp_path / "main.toml"
    file.write_text(f"[defaults]\n{defaults}\n{BUS}{own}\n")
    (bus,) = load(file).buses
    assert bus.forwardable is forwarded
