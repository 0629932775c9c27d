"""launchd: the property list, and the files written by the install script. launchd itself is not called."""

import os
import plistlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cancorderd.config.loading import load
from cancorderd.service import log_file

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging/launchd"
LABEL = "org.cancorder.cancorderd"
SOCKET = "/usr/local/var/cancorder/control.sock"


FAKE_LAUNCHCTL = """\
#!/bin/sh
# Stands for launchd, which answers bootout at once, ends the service later, and refuses its label for a while.
cd "$(dirname "$0")"
echo "$*" >>calls
left() { # NAME: whether a number above 0 is in the file; it gets smaller
    [ "$(cat "$1" 2>/dev/null || echo 0)" -gt 0 ] && echo $(($(cat "$1") - 1)) >"$1"
}
case $1 in
bootout) left loaded || exit 3 ;;
print) left ends || exit 113 ;;
bootstrap) ! left refuses || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; } ;;
esac
"""


def install(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DESTDIR": str(root), "SUDO_USER": "jane & <co>", **environment}
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


class Launchd:
    """The fake launchctl. `ends`: for so many questions the old service is still there."""

    def __init__(self, folder: Path, *, loaded: int = 0, ends: int = 0, refuses: int = 0) -> None:
        self._folder = folder
        folder.mkdir()
        self.command = folder / "launchctl"
        self.command.write_text(FAKE_LAUNCHCTL)
        self.command.chmod(0o755)
        for name, count in (("loaded", loaded), ("ends", ends), ("refuses", refuses)):
            (folder / name).write_text(f"{count}\n")

    def install(self, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return install(root, *arguments, LAUNCHCTL=str(self.command), CANCORDER_INSTALL_PAUSE="0")

    @property
    def calls(self) -> list[str]:
        return [line.split()[0] for line in (self._folder / "calls").read_text().splitlines()]


def test_the_new_service_starts_after_the_old_one_has_gone(tmp_path: Path) -> None:
    launchd = Launchd(tmp_path / "launchd", loaded=1, ends=3)
    assert launchd.install(tmp_path / "root", sys.executable).returncode == 0
    assert launchd.calls == ["bootout", *["print"] * 4, "bootstrap"]


def test_a_start_that_launchd_refuses_is_tried_again(tmp_path: Path) -> None:
    launchd = Launchd(tmp_path / "launchd", refuses=2)
    done = launchd.install(tmp_path / "root", sys.executable)
    assert (done.returncode, launchd.calls[-3:]) == (0, ["bootstrap"] * 3)
    assert "cancorderd runs as jane" in done.stdout


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"ends": 999}, "the old service has not ended within 30 s"),
        ({"refuses": 999}, "5: Input/output error"),
    ],
)
def test_launchd_that_never_does_it_is_an_error(
    tmp_path: Path, trouble: dict[str, int], message: str
) -> None:
    done = Launchd(tmp_path / "launchd", **trouble).install(tmp_path / "root", sys.executable)
    assert done.returncode == 1
    assert message in done.stderr


def test_removing_waits_for_the_end_too(tmp_path: Path) -> None:
    launchd = Launchd(tmp_path / "launchd", loaded=1, ends=2)
    assert launchd.install(tmp_path / "root", "--remove").returncode == 0
    assert launchd.calls == ["bootout", *["print"] * 3]


@pytest.mark.parametrize(
    ("bus", "user"),
    [
        ('interface = "gs_usb"', "root"),
        ('interface = "auto"', "root"),
        ('interface = "slcan"\nchannel = "/dev/tty.usbmodem1"', "jane & <co>"),
    ],
)
def test_the_daemon_runs_as_root_only_if_an_adapter_needs_it(tmp_path: Path, bus: str, user: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/cancorder.toml").write_text(f"[bus.body]\n{bus}\n")
    assert install(tmp_path, sys.executable).returncode == 0
    plist = plistlib.loads((tmp_path / f"Library/LaunchDaemons/{LABEL}.plist").read_bytes())
    assert plist["UserName"] == user
    (line,) = (tmp_path / "etc/newsyslog.d/cancorderd.conf").read_text().splitlines()[1:]
    assert line.startswith(f"{plist['StandardErrorPath']} {user}:admin 640 ")


def test_a_configuration_with_mistakes_is_shown_and_the_service_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/cancorder.toml").write_text('[bus.body]\ninterface = "nothing"\n')
    launchd = Launchd(tmp_path / "launchd", loaded=1)
    done = launchd.install(tmp_path, sys.executable)
    assert done.returncode == 1
    assert "cancorder.toml:2: bus.body.interface" in done.stderr
    assert not (tmp_path / "launchd/calls").exists()


def test_the_daemon_is_told_the_path_of_its_log() -> None:
    plist = plistlib.loads((FOLDER / f"{LABEL}.plist").read_bytes())
    assert plist["EnvironmentVariables"] == {log_file.VARIABLE: plist["StandardErrorPath"]}


def test_on_other_systems_the_script_fails_with_a_message() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DESTDIR"}
    if sys.platform != "darwin":
        done = subprocess.run(
            [FOLDER / "install"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "not macOS" in done.stderr
