"""Announce buses in this new network namespace and list them with cancorderctl; failures are exceptions."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.harness import Daemon, poll
from tests.support.network_namespace import bring_loopback_up
from tests.support.terminal import command_line, run

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
    # A name is on the network only after its probes and announcements: RFC 6762, 8.
    poll(lambda: listed(daemon.ctl("discover", "--json")) == ports.keys(), what="both buses")
    table = good(daemon.ctl("discover", "--timeout", "5")).splitlines()
    assert table[0].split()[:4] == ["NAME", "BUS", "HOST", "ADDRESSES"]
    row = next(line for line in table if " body " in line)
    assert row.startswith("ECUconnect-Logger ")
    assert re.search(
        rf"  body  cancorderd-\S+\.local  127.0.0.1 ::1 +{ports['body']}  mock +mock +250000  ", row
    ), row
    found = json.loads(good(daemon.ctl("discover", "--timeout", "5", "--json")))
    loggers = {logger["text"]["bus"]: logger for logger in found}
    assert loggers.keys() == ports.keys()
    assert loggers["car"]["name"] == "ECUconnect-Logger my car"
    assert {name: logger["port"] for name, logger in loggers.items()} == ports
    text, status = run(command_line(daemon, "discover", "--timeout", "5"), size=(200, 30))
    assert status == 0
    assert "\x1b[1mNAME\x1b[0m" in text
    assert "ECUconnect-Logger my car" in text
    for name, label in (("car", "car"), ("my car", "my_car"), ("ECUconnect-Logger my car", "my_car")):
        line = good(daemon.ctl("dump", f"zeroconf:{name}", "-n", "1"))
        assert line.startswith(f"  {label}  "), line


def listed(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the names of the buses whose loggers answered."""
    return {logger["text"]["bus"] for logger in json.loads(done.stdout)}


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


if __name__ == "__main__":
    main()
