"""The Debian package in the machine: installed, upgraded and removed as an administrator does it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psutil

from tests.support.harness import poll

CONFIGURATION = Path("/etc/cancorder.toml")


def package(version: str) -> Path:
    """Return the package that tests/lab/run has built."""
    (path,) = Path("/out").glob(f"cancorderd_{version}+deb*_amd64.deb")
    return path


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command as an administrator would, without the environment of the tests."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}{journal()}"
    return done


def journal() -> str:
    done = subprocess.run(["journalctl", "-u", "cancorderd", "--no-pager"], capture_output=True, text=True)
    return done.stdout[-4000:]


def install(version: str) -> str:
    """Install a package; an edited configuration file is kept without a question. Return what dpkg says."""
    done = run("dpkg", "--force-confdef", "--force-confold", "-i", str(package(version)))
    return done.stdout + done.stderr


def purge() -> None:
    run("apt-get", "-y", "purge", "cancorderd")


def status() -> dict[str, Any]:
    answer = run("cancorderctl", "status", "--json", check=False)
    return json.loads(answer.stdout) if answer.stdout else {"buses": []}


def running() -> dict[str, int]:
    """Return the ports of the running buses."""
    return {bus["name"]: bus["port"] for bus in status()["buses"] if bus["state"] == "running"}


def processes() -> list[str]:
    """Return the command lines of cancorderd's processes, without these tests."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "cancorder" in line and "pytest" not in line]


def wait_until_nothing_runs() -> None:
    """Wait for the ends of processes, which `ps` may show a moment longer than systemd."""
    poll(lambda: not processes(), what="no process of cancorderd is left")
