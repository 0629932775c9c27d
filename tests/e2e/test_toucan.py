"""The real daemon with an emulated TouCAN that is unplugged and replugged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.harness import Client, busy_limit_s, poll
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.support.harness import Daemon


def test_replugged_adapter_is_used_again_and_the_client_stays_connected(
    daemon: Callable[[str], Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stage(tmp_path) as stage:
        monkeypatch.setenv("TOUCAN_STAGE", stage.file)
        stage[Word.RATE] = 9009
        running = daemon(f'[bus.t]\ninterface = "toucan"\nlibrary = "{stage.library}"\n')
        with Client(running.wait_state("t", "running")["port"]) as viewer:
            viewer.wait_frames(5000)
            stage.unplug()
            gone = running.wait_state("t", "waiting")
            assert gone["reason"]
            stage.plug()
            plugged = time.monotonic()
            viewer.wait_more()
            assert time.monotonic() - plugged < busy_limit_s(5)
            viewer.wait_frames(len(viewer.frames) + 5000)
            assert not viewer.ended
            stamps = [frame.timestamp_us for frame in viewer.frames]
            assert stamps == sorted(stamps)
            poll(lambda: running.bus("t")["restarts"] == 1)
        events = running.ctl("events", "t").stdout
        assert "backoff: " in events
        assert gone["last_error"] in events
