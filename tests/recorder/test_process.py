"""The recorder as a process of its own, fed as a worker does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from cancorderd.frame import Frame
from cancorderd.link import Link, LinkClosed
from cancorderd.report import Notice, Recording
from cancorderd.wire import encode_all
from tests.harness import PATIENCE_S, ROOT, poll
from tests.recorder.reading import frames_in, recorded

if TYPE_CHECKING:
    from pathlib import Path

START_US = 1_795_365_990_005_321


def numbered(first: int, count: int) -> list[Frame]:
    return [Frame(START_US + n * 100, 0x123, 0, n.to_bytes(8)) for n in range(first, first + count)]


class Process:
    """A recorder, and what it says."""

    def __init__(self, folder: Path, kind: str = "log", prefix: tuple[str, ...] = (), **keys: Any) -> None:
        record = {"directory": str(folder), "format": kind, "rotate_mb": 100, "keep": 10} | keys
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    *prefix, sys.executable, "-m", "cancorderd.recorder", "body", "--socket",
                    str(theirs.fileno()), json.dumps(record), "body",
                ],
                pass_fds=[theirs.fileno()], cwd=ROOT,
            )  # fmt: skip
        self.told: list[Recording] = []
        self.notices: list[Notice] = []
        self.link = Link(self.socket)
        self.socket.setblocking(True)
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        try:
            while True:
                for one in self.link.receive():
                    if isinstance(one.message, Recording):
                        self.told.append(one.message)
                    elif isinstance(one.message, Notice):
                        self.notices.append(one.message)
        except LinkClosed:
            pass

    def send(self, frames: list[Frame]) -> None:
        self.socket.sendall(encode_all(frames))

    def wait(self, what: str) -> Recording:
        """Wait for a report with this state."""
        poll(lambda: self.told and self.told[-1].state == what, what=what)
        return self.told[-1]

    def end(self) -> Recording:
        """End the stream; the last report."""
        self.socket.shutdown(socket.SHUT_WR)
        assert self.process.wait(PATIENCE_S) == 0
        self.thread.join(PATIENCE_S)
        return self.told[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.thread.join(PATIENCE_S)
        self.socket.close()


def test_files_of_the_size_asked_for_follow_each_other_and_old_ones_go(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with Process(tmp_path, rotate_mb=1, keep=3) as recorder:
        recorder.send(numbered(0, 100_000))
        last = recorder.end()
    assert (last.state, last.frames, last.dropped) == ("recording", 100_000, 0)
    assert notes.read_text() == "mine"
    notes.unlink()
    files = sorted(tmp_path.iterdir(), key=lambda path: frames_in(path)[0].timestamp_us)
    assert len(files) == 3
    assert all(1_000_000 <= path.stat().st_size < 1_020_000 for path in files[:-1])
    kept = [frame for path in files for frame in frames_in(path)]
    assert kept == numbered(100_000 - len(kept), len(kept))
    assert last.file == str(files[-1])
    assert last.size == files[-1].stat().st_size
    assert sum("removed" in one.text for one in recorder.notices) >= 1


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    with Process(tmp_path / "new" / "folder") as recorder:
        assert recorder.wait("recording").file == ""
        recorder.end()
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_clock_that_is_set_back_begins_a_new_file(tmp_path: Path) -> None:
    with Process(tmp_path, "blf") as recorder:
        recorder.send(numbered(50_000, 10) + numbered(0, 10))
        recorder.end()
    assert sorted(map(len, map(frames_in, tmp_path.iterdir()))) == [10, 10]
    assert sorted(recorded(tmp_path)) == numbered(0, 10) + numbered(50_000, 10)


def test_a_removed_file_is_told_and_followed_by_a_new_one(tmp_path: Path) -> None:
    with Process(tmp_path) as recorder:
        recorder.send(numbered(0, 1))
        poll(lambda: recorder.told and recorder.told[-1].file, what="a file")
        (only,) = tmp_path.iterdir()
        only.unlink()
        poll(lambda: any("was removed" in one.text for one in recorder.notices), what="it is told")
        recorder.send(numbered(1, 5))
        recorder.end()
    assert recorded(tmp_path) == numbered(1, 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_that_end_a_service_do_not_end_a_file(number: signal.Signals, tmp_path: Path) -> None:
    with Process(tmp_path) as recorder:
        recorder.send(numbered(0, 10))
        recorder.wait("recording")
        recorder.process.send_signal(number)
        recorder.send(numbered(10, 10))
        recorder.end()
    assert recorded(tmp_path) == numbered(0, 20)


def test_a_folder_that_cannot_be_used_is_told_with_the_remedy_and_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("a file")
    with Process(place) as recorder:
        stopped = recorder.wait("stopped")
        assert stopped.reason == f"{place} is not a folder. Choose another directory."
        recorder.send(numbered(0, 5))
        poll(lambda: recorder.told[-1].dropped == 5, what="they are counted")
        place.unlink()
        recorder.wait("recording")
        recorder.send(numbered(5, 5))
        last = recorder.end()
    assert (last.frames, last.dropped) == (5, 5)
    assert recorded(place) == numbered(5, 5)
    assert [one.level for one in recorder.notices] == ["error", "info", "info"]


def test_a_folder_without_permission_names_the_user(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # who may write anywhere, unless that is taken away
        os.chown(place, 12345, 12345)
        prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    else:
        place.chmod(0o500)
    with Process(place, prefix=prefix) as recorder:
        reason = recorder.wait("stopped").reason
        recorder.end()
    assert f"no permission to write in {place}. Give the folder to user " in reason


def test_mf4_without_its_package_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden" / "asammdf"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('as if it were not installed')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hidden.parent), os.environ.get("PYTHONPATH", "")]))
    with Process(tmp_path / "recordings", "mf4") as recorder:
        assert recorder.wait("stopped").reason.startswith("format mf4 needs the Python package asammdf")
        recorder.send(numbered(0, 5))
        assert recorder.end().dropped == 5
