"""`cancorderctl service` on a folder; on a running systemd it is tried in the lab (guest/test_wheel.py)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.cancorderctl import main
from cancorderd.control.protocol import Exit
from cancorderd.installation import environment
from cancorderd.installation.environment import Environment
from tests.support.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "etc/systemd/system/cancorderd.service"
PACKAGED = "usr/lib/systemd/system/cancorderd.service"


@pytest.fixture(autouse=True)
def _in_opt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands run from an environment that a service can use, which that of the tests need not be."""
    here = Environment("/opt/x", "/opt/x/bin", ("/usr/bin/env",))
    monkeypatch.setattr(environment, "current", lambda: here)


def service(root: Path, *words: str) -> int:
    return main(["service", *words, "--root", str(root)])


def test_install_and_uninstall_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert service(tmp_path, "install", "--json") == Exit.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert f"/{UNIT}" in report["written"]
    assert (tmp_path / "etc/cancorder.toml").read_text() == (ROOT / "etc/cancorder.toml").read_text()
    assert service(tmp_path, "uninstall") == Exit.DONE
    assert capsys.readouterr().out.endswith("The environment itself remains: /opt/x\n")
    assert not (tmp_path / UNIT).exists()
    assert service(tmp_path, "uninstall") == Exit.DONE
    assert "There was nothing" in capsys.readouterr().out


def test_files_are_for_everyone_to_read_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert service(tmp_path, "install") == Exit.DONE
    finally:
        os.umask(before)
    for path in (tmp_path / "etc").rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize("words", [["install"], ["uninstall"], ["uninstall", "--purge"]])
def test_the_service_of_a_package_is_left_alone(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PACKAGED).parent.mkdir(parents=True)
    (tmp_path / PACKAGED).touch()
    assert service(tmp_path, *words) == Exit.FAILED
    assert "belongs to a package" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cancorderd.service"]


def test_a_service_of_ours_goes_though_a_package_came_later(tmp_path: Path) -> None:
    assert service(tmp_path, "install") == Exit.DONE
    (tmp_path / PACKAGED).parent.mkdir(parents=True)
    (tmp_path / PACKAGED).touch()
    assert service(tmp_path, "uninstall") == Exit.DONE
    assert not (tmp_path / UNIT).exists()
    assert (tmp_path / PACKAGED).exists()


def test_files_of_others_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).write_text("[Service]\n")
    assert service(tmp_path, "install") == Exit.FAILED
    assert f"/{UNIT}: not written by this command" in capsys.readouterr().err


def test_an_environment_that_others_may_not_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "closed_folder", lambda _environment: "/opt/x")
    assert service(tmp_path, "install") == Exit.FAILED
    assert "chmod -R o+rX /opt/x\n" in capsys.readouterr().err


def test_a_user_is_told_the_command_for_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    assert main(["service", "install"]) == Exit.NO_PERMISSION
    assert "Run: sudo /opt/x/bin/cancorderctl service install" in capsys.readouterr().err
