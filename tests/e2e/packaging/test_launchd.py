"""launchd: the property list, and the files written by the install script. launchd itself is not called."""

import os
import plistlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cancorderd.config.loading import load

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging/launchd"
LABEL = "org.cancorder.cancorderd"
SOCKET = "/usr/local/var/cancorder/control.sock"


def install(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DESTDIR": str(root), "SUDO_USER": "jane & <co>"}
    return subprocess.run(
        [FOLDER / "install", *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    done = install(tmp_path, sys.executable)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_daemon_is_kept_alive_and_not_throttled() -> None:
    plist = plistlib.loads((FOLDER / f"{LABEL}.plist").read_bytes())
    assert plist["Label"] == LABEL
    assert plist["KeepAlive"] is True
    assert plist["RunAtLoad"] is True
    assert plist["ProcessType"] == "Interactive"
    assert plist["ThrottleInterval"] == 10
    assert plist["StandardErrorPath"].startswith("/usr/local/var/log/")


def test_python_and_user_are_written_into_the_property_list(installed: Path) -> None:
    plist = plistlib.loads((installed / f"Library/LaunchDaemons/{LABEL}.plist").read_bytes())
    program, *arguments = plist["ProgramArguments"]
    assert program == sys.executable
    assert arguments == ["-P", "-m", "cancorderd.cli.cancorderd", "--config", "/etc/cancorder.toml"]
    assert plist["UserName"] == "jane & <co>"


def test_the_command_of_the_property_list_starts(installed: Path) -> None:
    plist = plistlib.loads((installed / f"Library/LaunchDaemons/{LABEL}.plist").read_bytes())
    command = [*plist["ProgramArguments"][:-1], str(installed / "etc/cancorder.toml"), "--check"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_configuration_uses_folders_that_macos_has(installed: Path) -> None:
    file = installed / "etc/cancorder.toml"
    daemon = tomllib.loads(file.read_text())["daemon"]
    assert daemon["control_socket"] == SOCKET
    assert daemon["state_dir"] == "/usr/local/var/cancorder"
    assert [bus.interface for bus in load(str(file)).buses] == ["mock"]


def test_cancorderctl_uses_the_control_socket_of_the_configuration(installed: Path) -> None:
    command = [str(installed / "usr/local/bin/cancorderctl"), "status"]
    environment = {key: value for key, value in os.environ.items() if key != "CANCORDER_SOCKET"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert SOCKET in done.stderr


def test_installing_again_keeps_the_configuration(installed: Path) -> None:
    file = installed / "etc/cancorder.toml"
    file.write_text("# mine\n")
    assert install(installed, sys.executable).returncode == 0
    assert file.read_text() == "# mine\n"


def test_remove_keeps_the_configuration_and_purge_removes_everything(installed: Path) -> None:
    assert install(installed, "--remove").returncode == 0
    assert (installed / "etc/cancorder.toml").exists()
    assert not (installed / f"Library/LaunchDaemons/{LABEL}.plist").exists()
    assert install(installed, "--purge").returncode == 0
    assert not [path for path in installed.rglob("*") if not path.is_dir()]


def test_on_other_systems_the_script_fails_with_a_message() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DESTDIR"}
    if sys.platform != "darwin":
        done = subprocess.run(
            [FOLDER / "install"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "not macOS" in done.stderr
