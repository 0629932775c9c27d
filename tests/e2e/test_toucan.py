"""The unplug and replug drill with an emulated TouCAN, through the whole daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.adapters.toucan_stage import Stage, Word
from tests.harness import Client, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.harness import Daemon


def test_unplugged_and_plugged_again_with_a_client_that_stays(
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
            viewer.wait_more(2)
            assert time.monotonic() - plugged < 2
            viewer.wait_frames(len(viewer.frames) + 5000)
            assert not viewer.ended
            stamps = [frame.timestamp_us for frame in viewer.frames]
            assert stamps == sorted(stamps)
            poll(lambda: running.bus("t")["restarts"] == 1)
        events = running.ctl("events", "t").stdout
        assert "backoff: " in events, "the gap"
        assert gone["last_error"] in events, "and its cause"
