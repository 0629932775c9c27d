"""Announces buses in this (fresh) network namespace and looks at them as users do; fails by an exception."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.demo_as_user import bring_loopback_up
from tests.e2e.terminal import command, shown
from tests.harness import Daemon

if TYPE_CHECKING:
    import subprocess

BUSES = """
[bus.body]
interface = "mock"
bitrate = 250_000
start = "always"
[bus.car]
interface = "mock"
start = "always"
service_name = "ECUconnect-Logger my car"
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder), BUSES, zeroconf=True)
        lonely = daemon.ctl("discover", "--timeout", "0.3")
        assert (lonely.returncode, lonely.stdout) == (1, ""), lonely
        assert "Connect this machine to a network" in lonely.stderr, lonely
        bring_loopback_up()
        lonely = daemon.ctl("discover", "--timeout", "0.3", "--json")
        assert (lonely.returncode, lonely.stdout) == (1, "[]\n"), lonely
        assert "No logger answered within 0.3 s" in lonely.stderr, lonely
        with daemon:
            check(daemon, {name: daemon.wait_port(name) for name in ("body", "car")})


def check(daemon: Daemon, ports: dict[str, int]) -> None:
    table = good(daemon.ctl("discover")).splitlines()
    assert table[0].split()[:4] == ["NAME", "BUS", "HOST", "ADDRESSES"]
    row = next(line for line in table if " body " in line)
    assert row.startswith("ECUconnect-Logger ")
    assert re.search(
        rf"  body  cancorderd-\S+\.local  127.0.0.1 ::1 +{ports['body']}  mock +mock +250000  ", row
    ), row
    loggers = {one["text"]["bus"]: one for one in json.loads(good(daemon.ctl("discover", "--json")))}
    assert loggers.keys() == ports.keys()
    assert loggers["car"]["name"] == "ECUconnect-Logger my car"
    assert {name: one["port"] for name, one in loggers.items()} == ports
    text, status = shown(command(daemon, "discover", "--timeout", "2"), size=(200, 30))
    assert status == 0
    assert "\x1b[1mNAME\x1b[0m" in text
    assert "ECUconnect-Logger my car" in text
    for name, label in (("car", "car"), ("my car", "my_car"), ("ECUconnect-Logger my car", "my_car")):
        line = good(daemon.ctl("dump", f"zeroconf:{name}", "-n", "1"))
        assert line.startswith(f"  {label}  "), line


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


if __name__ == "__main__":
    main()
