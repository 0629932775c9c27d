"""Who loads what: workers stay small, `cancorderctl` answers at once, the supervisor never touches CAN."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness import ROOT

HEAVY = {"aiohttp", "asyncio", "can", "ctypes", "pydantic", "rich", "serial", "ssl", "usb", "zeroconf"}


def loaded(module: str) -> set[str]:
    """Every module that importing `module` loads."""
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("cancorderd.worker.__main__", set()),
        ("cancorderd.worker.recording", set()),
        ("cancorderd.sources.slcan", {"serial"}),
        ("cancorderd.sources.socketcan", {"ctypes"}),
        ("cancorderd.sources.toucan", {"ctypes"}),
        ("cancorderd.sources.mock", set()),
        ("cancorderd.sources.auto", {"serial"}),
        ("cancorderd.client", set()),
        ("cancorderd.cli.cancorderctl", {"ssl"}),  # by http.client
    ],
)
def test_loads_nothing_heavy_but_its_own(module: str, allowed: set[str]) -> None:
    assert loaded(module) & HEAVY <= allowed


def test_supervisor_loads_neither_worker_nor_sources_nor_can() -> None:
    modules = loaded("cancorderd.daemon")
    wrong = [
        one
        for one in modules
        if one == "can" or one.startswith(("can.", "cancorderd.worker", "cancorderd.sources"))
    ]
    assert not wrong


def test_worker_loads_nothing_of_recording_and_nothing_of_python_can() -> None:
    modules = loaded("cancorderd.worker.__main__")
    assert not modules & {"subprocess", "cancorderd.worker.recording"}
    assert not [one for one in loaded("cancorderd.worker.recording") if one.startswith("cancorderd.recorder")]
