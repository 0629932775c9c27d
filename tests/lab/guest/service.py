"""The service as the package installs it: unit, user, udev rules, and commands that run this checkout."""

from __future__ import annotations

import compileall
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.harness import ROOT, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = "cancorderd.service"
FILE = Path("/etc/cancorder.toml")
UNITS = Path("/etc/systemd/system")
_PACKAGING = ROOT / "packaging"
_WRAPPER = '#!/bin/sh\nPYTHONPATH=/repo exec /opt/venv/bin/python -P -m cancorderd.cli.{} "$@"\n'


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def systemctl(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("systemctl", *arguments, check=check)


def install() -> None:
    """Install the files of the package; the machine forgets them at its end."""
    # The service's user may not write bytecode beside the source; without it, each process would compile.
    compileall.compile_dir("/repo/cancorderd", quiet=2)
    for name in ("cancorderd", "cancorderctl"):
        command = Path("/usr/bin") / name
        command.write_text(_WRAPPER.format(name))
        command.chmod(0o755)
    for source, target in {
        "systemd/cancorderd.service": "/lib/systemd/system/cancorderd.service",
        "systemd/cancorderd.sysusers": "/usr/lib/sysusers.d/cancorderd.conf",
        "systemd/cancorderd.tmpfiles": "/usr/lib/tmpfiles.d/cancorderd.conf",
        "udev/60-cancorderd.rules": "/lib/udev/rules.d/60-cancorderd.rules",
    }.items():
        shutil.copy(_PACKAGING / source, target)
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "cancorderd.conf")
    systemctl("daemon-reload")


@contextlib.contextmanager
def drop_in(name: str) -> Iterator[None]:
    """Enable a drop-in that the package contains but does not enable."""
    folder = UNITS / f"{UNIT}.d"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_PACKAGING / "systemd/drop-ins" / name, folder)
    systemctl("daemon-reload")
    try:
        yield
    finally:
        shutil.rmtree(folder)
        systemctl("daemon-reload")


class Service:
    """The running unit, with the given buses."""

    def __init__(self, buses: str) -> None:
        self.write(buses)
        self.since = time.time()

    def write(self, buses: str) -> None:
        FILE.write_text(buses)

    def show(self, *properties: str) -> dict[str, str]:
        lines = systemctl("show", UNIT, "-p", ",".join(properties)).stdout.splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    @property
    def pid(self) -> int:
        return int(self.show("MainPID")["MainPID"])

    @property
    def status_text(self) -> str:
        return self.show("StatusText")["StatusText"]

    def buses(self) -> dict[str, dict[str, Any]]:
        answer = run("cancorderctl", "status", "--json", check=False).stdout
        return {bus["name"]: bus for bus in json.loads(answer)["buses"]} if answer else {}

    def wait_state(self, bus: str, state: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.buses().get(bus)
            return found if found and found["state"] == state else None

        try:
            found = poll(reached, what=f"{bus} is {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None
        assert found
        return found

    def wait_active(self, other_than: int, deadline_s: float) -> int:
        """Wait until the unit is active with another process than `other_than`; return its id."""

        def up() -> int | None:
            found = self.show("ActiveState", "MainPID")
            pid = int(found["MainPID"])
            return pid if found["ActiveState"] == "active" and pid not in (0, other_than) else None

        pid = poll(up, deadline_s, "the service is up again")
        assert pid
        return pid

    def journal(self, *matches: str) -> str:
        """Return the messages since the start of this service."""
        run("journalctl", "--sync")
        arguments = matches or ("-u", UNIT)
        return run("journalctl", "-o", "cat", f"--since=@{self.since:.0f}", *arguments).stdout

    def __enter__(self) -> Self:
        systemctl("start", UNIT)
        return self

    def __exit__(self, *_: object) -> None:
        systemctl("stop", UNIT)
        systemctl("reset-failed", UNIT, check=False)


class Prober:
    """Connects to a port every 20 ms, and collects the failures and time-outs."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.connected = 0
        self.failures: list[str] = []

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                socket.create_connection(self._address, 20).close()
                self.connected += 1
            except OSError as error:
                self.failures.append(f"{time.time():.2f}: {error}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
