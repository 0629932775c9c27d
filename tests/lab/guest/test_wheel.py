"""The wheel as a service of systemd: refused in a home, installed by the commands that the refusal prints, removed again."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.harness import Client, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

OPT = Path("/opt/cancorderd")
HOME = Path("/home/jane")
CTL = OPT / "bin/cancorderctl"
UNIT = Path("/etc/systemd/system/cancorderd.service")
PACKAGED = [
    Path(folder, name)
    for folder in ("/lib/systemd/system", "/usr/lib/sysusers.d", "/usr/lib/tmpfiles.d", "/lib/udev/rules.d")
    for name in ("cancorderd.service", "cancorderd.conf", "60-cancorderd.rules")
]
"""Files of a package, which other tests in this machine may have left."""
RULES = "/etc/udev/rules.d/60-cancorderd.rules"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
}
"""An administrator's, with what the machine lacks: a network from which pip takes other packages."""


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd="/", timeout=300
    )
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}{journal()}"
    return done


def journal() -> str:
    done = subprocess.run(["journalctl", "-u", "cancorderd", "--no-pager"], capture_output=True, text=True)
    return done.stdout[-4000:]


def add_packages_of_the_machine(environment: Path) -> None:
    """Give an environment what pip would have taken from the network."""
    (site,) = environment.glob("lib/python*/site-packages")
    (place,) = Path("/opt/venv").glob("lib/python*/site-packages")
    (site / "of_the_machine.pth").write_text(f"{place}\n")


def wheel() -> Path:
    (path,) = Path("/out").glob("cancorderd-*.whl")  # tests/lab/run builds it
    return path


def running() -> dict[str, Any]:
    answer = run("cancorderctl", "status", "--json", check=False)
    status = json.loads(answer.stdout) if answer.stdout else {"buses": []}
    return {bus["name"]: bus for bus in status["buses"] if bus["state"] == "running"}


def accounts() -> set[str]:
    return {user.pw_name for user in pwd.getpwall()}


@pytest.fixture
def _no_package() -> Iterator[None]:
    """Put away the unit of the package and its configuration, and leave nothing behind."""
    aside = Path("/var/tmp/aside")
    files = [path for path in (*PACKAGED, Path("/etc/cancorder.toml")) if path.exists()]
    for number, path in enumerate(files):
        aside.mkdir(exist_ok=True)
        shutil.move(path, aside / str(number))
    run("systemctl", "daemon-reload")
    yield
    Client.close_all()
    if CTL.exists():
        run(CTL, "service", "uninstall", check=False)
    for folder in (OPT, HOME, Path("/etc/cancorder.d")):
        shutil.rmtree(folder, ignore_errors=True)
    Path("/etc/cancorder.toml").unlink(missing_ok=True)
    for number, path in enumerate(files):
        shutil.move(aside / str(number), path)
    run("systemd-sysusers")  # for the tests to come
    run("systemctl", "daemon-reload")


def refusal_in_a_home() -> str:
    run("python3", "-m", "venv", "--without-pip", HOME / "venv")
    run("/opt/venv/bin/pip", "--python", HOME / "venv/bin/python", "install", "--quiet", wheel())
    add_packages_of_the_machine(HOME / "venv")
    done = run(HOME / "venv/bin/cancorderctl", "service", "install", check=False)
    assert done.returncode == 1
    assert "ProtectHome" in done.stderr
    return done.stderr


@pytest.mark.usefixtures("_no_package")
def test_the_commands_of_the_refusal_make_a_service_which_can_be_removed_without_a_trace() -> None:
    before = {*Path("/etc").rglob("*cancorderd*"), *Path("/usr/local").rglob("cancorder*")}
    message = refusal_in_a_home()
    assert not UNIT.exists()
    make, install, serve = [line.strip() for line in message.splitlines() if line.startswith("  ")]
    began = time.monotonic()
    run("sh", "-c", make)
    run("sh", "-c", install)
    print(f"installed after {time.monotonic() - began:.0f} s")
    add_packages_of_the_machine(OPT)
    assert "The service runs from /opt/cancorderd" in run("sh", "-c", serve).stdout

    poll(running, what="the bus of the example runs")
    assert run("systemctl", "is-enabled", "cancorderd", "cancorderd-web").stdout.split() == ["enabled"] * 2
    assert Path("/usr/local/bin/cancorderctl").resolve() == CTL
    assert os.path.exists(RULES)
    bus = running()["simulation"]
    with Client(bus["port"]) as client:
        client.wait_frames(10)
    daemon = psutil.Process(int(run("systemctl", "show", "-P", "MainPID", "cancorderd").stdout))
    assert daemon.username() == "cancorder"
    assert str(OPT / "bin/cancorderd") in daemon.cmdline()

    # An upgrade: the same commands again.
    run("sh", "-c", serve)
    poll(running, what="the bus runs again")
    assert running()["simulation"]["port"] == bus["port"]
    assert not daemon.is_running()

    assert "removed /etc/systemd/system/cancorderd.service" in run(CTL, "service", "uninstall").stdout
    assert not {*Path("/etc").rglob("*cancorderd*"), *Path("/usr/local").rglob("cancorder*")} - before
    assert run("systemctl", "show", "-P", "LoadState", "cancorderd").stdout.strip() == "not-found"
    assert Path("/etc/cancorder.toml").exists()
    assert "cancorder" in accounts()
    run(CTL, "service", "uninstall", "--purge")
    assert not Path("/etc/cancorder.toml").exists()
    assert not Path("/var/lib/cancorder").exists()
    assert not {"cancorder", "cancorder-web"} & accounts()
