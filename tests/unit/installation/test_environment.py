from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from cancorderd.installation import environment
from cancorderd.installation.environment import Environment, closed_folder, hidden, obstacle


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/home/jane/.venv", "ProtectHome"),
        ("/home", "ProtectHome"),
        ("/root/.pyenv/versions/3.12/bin/python3", "ProtectHome"),
        ("/run/user/1000/x", "ProtectHome"),
        ("/tmp/venv", "PrivateTmp"),
        ("/var/tmp/venv", "PrivateTmp"),
    ],
)
def test_folders_that_the_unit_hides(path: str, word: str) -> None:
    assert word in (hidden(path) or "")


@pytest.mark.parametrize(
    "path", ["/opt/cancorderd", "/usr/bin/python3", "/homes/x", "/rootless", "/srv/home/x"]
)
def test_folders_that_the_service_sees(path: str) -> None:
    assert hidden(path) is None


def test_a_link_into_a_home_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/home/jane/.local/share/uv/python/bin/python3")
    assert hidden(str(tmp_path / "python")) == hidden("/home/x")


def test_an_environment_whose_python_is_in_a_home_is_refused() -> None:
    found = obstacle(Environment("/opt/x", "/opt/x/bin", ("/opt/x/bin", "/root/.pyenv/bin/python3.12")))
    assert found
    assert found.startswith("/root/.pyenv/bin/python3.12, which the service could not see")
    assert obstacle(Environment("/opt/x", "/opt/x/bin", ("/opt/x/bin", "/usr/bin/python3.12"))) is None


def test_a_folder_that_others_may_not_enter_is_found() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed
        os.chmod(folder, 0o755)
        inner = Path(folder, "environment/bin")
        inner.mkdir(parents=True)
        inner.chmod(0o755)
        inner.parent.chmod(0o755)
        one = Environment(folder, str(inner), (str(inner),))
        assert closed_folder(one) is None
        inner.parent.chmod(0o750)
        assert closed_folder(one) == str(inner.parent)


def test_the_commands_are_found_beside_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("python", *environment.COMMANDS):
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert environment.current().commands == str(tmp_path)


def test_commands_that_are_nowhere_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "x")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path / "scripts"))
    with pytest.raises(environment.NoCommandsError, match="are in none of"):
        environment.current()
