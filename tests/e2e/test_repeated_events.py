"""Changes that repeat: `events` and the log show the first few at once and in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.harness import Daemon

if TYPE_CHECKING:
    from pathlib import Path


def test_restarts_in_a_row_are_seen_at_once_and_in_order(tmp_path: Path) -> None:
    with Daemon(tmp_path, '[bus.a]\ninterface = "mock"\nstart = "always"\n') as daemon:
        daemon.wait_state("a", "running")
        for _ in range(3):
            assert daemon.ctl("restart", "a").returncode == 0
        lines = daemon.ctl("events", "a", "--json").stdout.splitlines()
        states = [json.loads(line)["text"].partition(":")[0] for line in lines]
        assert states == ["starting", "running"] + 3 * ["stopping", "starting", "running"]
