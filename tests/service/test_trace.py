"""A supervisor that hangs tells where, before the watchdog bites."""

from __future__ import annotations

import subprocess
import sys

from tests.harness import ROOT

HANGS = """
import time
from cancorderd.service.rhythm import Watchdog
from cancorderd.service.systemd import ServiceManager

def stuck_here():
    time.sleep(1)

service = ServiceManager(lambda text, descriptors: None, Watchdog(0.2, usual_check_s=1.0))
service.alive(0.0)
{}
stuck_here()
"""


def hang(before: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", HANGS.format(before)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stderr


def test_a_hang_leaves_a_trace() -> None:
    assert "in stuck_here" in hang("")


def test_an_end_that_takes_long_does_not() -> None:
    assert hang("service.stopping()") == ""
