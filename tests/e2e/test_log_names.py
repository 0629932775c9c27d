"""Logs for canplayer: the names of sources in `cancorderctl dump -L`, and in recordings."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import encode
from cancorderd.python_command import python_command
from tests.support.harness import PATIENCE_S, ROOT, poll
from tests.support.scripted_logger import ScriptedLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Daemon

LONG = ("powertrain_left_front", "powertrain_left_rear")


def test_log_names_sources_as_interfaces() -> None:
    packet = encode(Frame(1_700_000_000_000_000, 0x123, 0, b"a"))
    with ScriptedLogger(packet) as first, ScriptedLogger(packet) as second:
        sources = [f"localhost:{first.port}", f"127.0.0.1:{second.port}"]
        done = subprocess.run(
            [*python_command("cancorderd.cli.cancorderctl"), "dump", "-L", "-n", "2", *sources],
            capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
    assert sorted(line.split()[1:] for line in done.stdout.splitlines()) == [
        [f"127.0.0.1_{second.port}", "123#61"],
        [f"localhost_{first.port}", "123#61"],
    ]


def names_in_one_dump(running: Daemon) -> set[str]:
    """Return the interfaces in the lines of a single dump of both buses, which ends when there are two."""
    dump = [
        *python_command("cancorderd.cli.cancorderctl"),
        "--socket",
        str(running.socket),
        "dump",
        "-L",
        *LONG,
    ]
    found: set[str] = set()
    end_s = time.monotonic() + PATIENCE_S
    with subprocess.Popen(dump, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for line in process.stdout:
            found.add(line.split()[1])
            if len(found) == 2 or time.monotonic() > end_s:
                break
        process.kill()
    return found


def test_long_names_of_buses_are_cut_and_stay_apart(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    bus = '[bus.{}]\ninterface = "mock"\nrate = 200\nstart = "always"\nrecord = {{ directory = "{}" }}\n'
    running = daemon("".join(bus.format(name, folder) for name in LONG))
    for name in LONG:
        running.wait_state(name, "running")
    assert names_in_one_dump(running) == {"powertrain_left", "powertrain_le-2"}
    recorded = poll(
        lambda: [
            text for path in folder.glob(f"{LONG[0]}-*.log") if (text := path.read_text()).count("\n") > 1
        ]
    )
    assert recorded[0].split("\n")[0].split()[1] == "powertrain_left"
