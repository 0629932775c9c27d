"""The command that installs a package where the program finds it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cancorderd import python_packages
from cancorderd.python_packages import install_command, is_installed

if TYPE_CHECKING:
    from pathlib import Path


def test_a_package_of_the_environment_is_found() -> None:
    assert is_installed("pydantic")
    assert not is_installed("no_such_package")


def test_the_command_of_a_virtual_environment_is_that_of_its_python() -> None:
    command = shlex.split(install_command("asammdf"))
    assert command == [sys.executable, "-m", "pip", "install", "asammdf"]
    done = subprocess.run([*command[:3], "--version"], capture_output=True, check=False)
    assert done.returncode == 0, "this pip exists"


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("pipx_metadata.json", "pipx inject cancorderd asammdf"),
        ("uv-receipt.toml", "uv tool install --with asammdf cancorderd"),
    ],
)
def test_tools_that_keep_an_environment_per_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, command: str
) -> None:
    (tmp_path / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_command("asammdf") == command


@pytest.mark.parametrize("tool", ["apt-get", "dnf", "pacman"])
def test_the_packages_of_a_distribution_have_a_folder_for_others(
    monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name == tool else None)
    monkeypatch.setattr(python_packages, "__file__", "/usr/lib/cancorderd/cancorderd/python_packages.py")
    first, second = install_command("asammdf").split(" && ")
    assert first.startswith(f"sudo {tool} ")
    assert second == "sudo python3 -m pip install --target /usr/local/lib/cancorderd asammdf"


def test_an_environment_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_packages, "find_spec", lambda _name: None)
    assert install_command("asammdf") == f"uv pip install --python {sys.executable} asammdf"
