"""Logs that are damaged, that are none, and on a file system that does not answer, with the real daemon."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Client, Daemon, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WATCHDOG_S = 2.0


def replayed(name: str, file: Path, **keys: object) -> str:
    others = "".join(f"{key} = {str(value).lower()}\n" for key, value in keys.items())
    return f'[bus.{name}]\ninterface = "replay"\nfile = "{file}"\n{others}'


def log(count: int) -> str:
    return "".join(f"({number / 1000:f}) can0 123#{number:04X}\n" for number in range(count))


@contextlib.contextmanager
def blocked(file: Path) -> Iterator[None]:
    """Let whoever opens the file wait, as a file system that does not answer does (fcntl(2), leases)."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(file, os.O_RDWR)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            pytest.skip(f"this file system has no leases: {error}")
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def test_file_system_that_does_not_answer_stops_no_heartbeat(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    file = tmp_path / "drive.log"
    file.write_text(log(50))
    with contextlib.ExitStack() as block:
        block.enter_context(blocked(file))
        running = daemon(replayed("drive", file, watchdog=WATCHDOG_S, loop=True))
        waiting = running.wait_state("drive", "waiting")
        assert "look for a file system that does not answer (df, mount)" in waiting["reason"]
        begin_s = time.monotonic()
        with Client(waiting["port"]) as viewer:
            poll(lambda: len(running.bus("drive")["clients"]) == 1, what="a client is served meanwhile")
            poll(lambda: time.monotonic() > begin_s + WATCHDOG_S + 1 and running.status())
            assert running.bus("drive")["pid"] == waiting["pid"], "its heartbeats came"
            assert running.bus("drive")["state"] == "waiting"
            block.close()
            viewer.wait_frames(60)
        assert running.bus("drive")["pid"] == waiting["pid"]
    assert running.stop() == 0


def test_end_while_a_file_system_does_not_answer(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    file = tmp_path / "drive.log"
    file.write_text(log(50))
    with blocked(file):
        running = daemon(replayed("drive", file))
        running.wait_state("drive", "waiting")
        begin_s = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begin_s < busy_limit_s(8)


def test_good_part_comes_and_the_rest_is_said(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    cut = tmp_path / "cut.log"
    cut.write_text(log(50).replace("(0.020000) can0 123", "\0\0garbage") + "(0.05) can0 1")
    (tmp_path / "none.asc").write_text("date Sam Sep 30\nbase hex\n")
    (tmp_path / "text.blf").write_text("hello\n")
    os.mkfifo(tmp_path / "pipe.log")
    names = {"none": "none.asc", "text": "text.blf", "pipe": "pipe.log", "missing": "missing.db"}
    running = daemon(
        replayed("cut", cut, loop=True, speed=1000)
        + "".join(replayed(name, tmp_path / file) for name, file in names.items())
    )
    with Client(running.wait_state("cut", "running")["port"]) as viewer:
        viewer.wait_frames(200)
        assert len({frame.data for frame in viewer.frames}) == 49
    poll(lambda: running.bus("cut")["frames"]["error"] >= 4, what="the bad lines are counted")
    poll(lambda: "skipped" in running.bus("cut")["details"], what="the places that were skipped")
    poll(lambda: f"{cut}:51: the last line is cut" in running.log.read_text(), what="the cut line in the log")
    running.wait_log(f"{cut}:21: ")
    assert running.log.read_text().count("the last line is cut") == 1
    assert "there is no frame in" in running.wait_state("none", "waiting")["reason"]
    assert "text.blf: byte 0: no beginning of a .blf file" in running.wait_state("text", "failed")["reason"]
    assert "pipe.log is a pipe (FIFO). Name a file" in running.wait_state("pipe", "failed")["reason"]
    assert "missing.db does not exist" in running.wait_state("missing", "waiting")["reason"]
    assert not (tmp_path / "missing.db").exists()
