"""A reload that gives the state another folder: recordings move at once, remembered ports at the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.harness import Daemon, poll

if TYPE_CHECKING:
    from pathlib import Path

BUS = '[bus.a]\ninterface = "mock"\nspeed = 20\nstart = "always"\nrecord = {format = "log"}\n'


def test_recordings_move_at_once_and_ports_at_the_next_start(tmp_path: Path) -> None:
    running = Daemon(tmp_path, BUS)
    before, after = tmp_path / "state", tmp_path / "elsewhere"
    with running:
        port = running.wait_port("a")
        poll(lambda: running.bus("a")["recording"]["frames"] > 0, what="a recorded frame")
        old = next((before / "recordings").iterdir())
        running.file.write_text(running.file.read_text().replace(str(before), str(after)))
        done = running.ctl("reload")
        assert done.returncode == 0, done.stderr
        assert (
            "daemon.state_dir takes effect at once for recordings in its default folder, "
            "and for remembered ports when the daemon is restarted"
        ) in done.stdout
        poll(lambda: list((after / "recordings").glob("a-*.log")), what="a recording in the new folder")
        assert old.exists()
        assert running.wait_port("a") == port
        assert (before / "ports.toml").exists()
        assert not (after / "ports.toml").exists()
    with running:
        running.wait_port("a")
        poll((after / "ports.toml").exists, what="the port in the new folder")
