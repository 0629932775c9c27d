"""Files of the current folder are never run: neither by the daemon nor by a process that it or a command starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import Daemon, poll

TRAP = (
    "import os\nopen(os.path.dirname(os.path.abspath(__file__)) + '/trapped', 'a').write(__name__ + '\\n')\n"
)
OTHERS = ("aiohttp", "asammdf", "can", "cancorderd", "cantools", "pydantic", "serial", "sitecustomize", "usb", "zeroconf")  # fmt: skip
"""Modules outside the standard library that processes of ours import."""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with a module for every name that a process may import; an imported one leaves its name."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in (*sys.stdlib_module_names, *OTHERS):
        (folder / f"{name}.py").write_text(TRAP)
    return folder


def run_modules(folder: Path) -> list[str]:
    marks = folder / "trapped"
    return marks.read_text().split() if marks.exists() else []


def python(*arguments: str) -> list[str]:
    """The command as the package's scripts start it: without modules of the current folder."""
    return [sys.executable, "-P", "-m", *arguments]


def test_daemon_worker_and_recorder_run_no_module_of_the_current_folder(tmp_path: Path, trap: Path) -> None:
    record = f'record = {{ directory = "{tmp_path / "records"}" }}\n'
    daemon = Daemon(tmp_path, f'[bus.a]\ninterface = "mock"\nstart = "always"\n{record}')
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen(
            python("cancorderd.cli.cancorderd", "-c", str(daemon.file)),
            stdout=log, stderr=log, cwd=trap, start_new_session=True,
        )  # fmt: skip
    try:
        poll(lambda: daemon.socket.exists() and daemon.ctl("status").returncode in (0, 3), what="an answer")
        poll(lambda: (daemon.bus("a")["recording"] or {}).get("bytes"), what="recorded frames")
        assert run_modules(trap) == []
    finally:
        daemon.stop()


def test_detection_runs_no_module_of_the_current_folder(trap: Path) -> None:
    """It asks python-can's drivers, in a process of its own; status 1 if nothing is connected."""
    command = python("cancorderd.cli.cancorderctl", "detect")
    done = subprocess.run(command, cwd=trap, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert run_modules(trap) == []


def test_trap_works(trap: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "json.tool"], cwd=trap, timeout=60, check=False, capture_output=True
    )
    assert run_modules(trap)
