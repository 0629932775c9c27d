"""The recorder as a process of its own, fed by the test in place of a worker."""

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

from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Notice, RecordingReport
from cancorderd.protocol.packets import encode_all
from tests.support.descriptors import low_descriptors_in_use
from tests.support.harness import PATIENCE_S, ROOT, poll
from tests.support.recorded_files import frames_in, recorded
from tests.support.recorded_frames import numbered_frames

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.protocol.frame import Frame


class Process:
    """A recorder and the messages that it has sent."""

    def __init__(
        self, folder: Path, file_format: str = "log", prefix: tuple[str, ...] = (), **keys: Any
    ) -> None:
        record = {"directory": str(folder), "format": file_format, "rotate_mb": 100, "keep": 10} | keys
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    *prefix, sys.executable, "-m", "cancorderd.recorder", "body", "--socket",
                    str(theirs.fileno()), json.dumps(record), "body",
                ],
                pass_fds=[theirs.fileno()], cwd=ROOT,
            )  # fmt: skip
        self.reports: list[RecordingReport] = []
        self.notices: list[Notice] = []
        self.channel = Channel(self.socket)
        self.socket.setblocking(True)
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self) -> None:
        try:
            while True:
                for received in self.channel.receive():
                    if isinstance(received.message, RecordingReport):
                        self.reports.append(received.message)
                    elif isinstance(received.message, Notice):
                        self.notices.append(received.message)
        except ChannelClosed:
            pass

    def send(self, frames: list[Frame]) -> None:
        self.socket.sendall(encode_all(frames))

    def wait_state(self, state: str) -> RecordingReport:
        """Wait for a report with this state."""
        poll(lambda: self.reports and self.reports[-1].state == state, what=state)
        return self.reports[-1]

    def end(self) -> RecordingReport:
        """End the stream; returns the last report."""
        self.socket.shutdown(socket.SHUT_WR)
        assert self.process.wait(PATIENCE_S) == 0
        self.thread.join(PATIENCE_S)
        return self.reports[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.thread.join(PATIENCE_S)
        self.socket.close()


def test_files_are_rotated_by_size_and_the_oldest_are_removed(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with Process(tmp_path, rotate_mb=1, keep=3) as recorder:
        recorder.send(numbered_frames(0, 100_000))
        last = recorder.end()
    assert (last.state, last.frames, last.dropped) == ("recording", 100_000, 0)
    assert notes.read_text() == "mine"
    notes.unlink()
    files = sorted(tmp_path.iterdir(), key=lambda path: frames_in(path)[0].timestamp_us)
    assert len(files) == 3
    assert all(1_000_000 <= path.stat().st_size < 1_020_000 for path in files[:-1])
    kept = [frame for path in files for frame in frames_in(path)]
    assert kept == numbered_frames(100_000 - len(kept), len(kept))
    assert last.file == str(files[-1])
    assert last.size == files[-1].stat().st_size
    assert any("removed" in notice.text for notice in recorder.notices)


def test_a_high_descriptor_of_the_worker_is_no_obstacle(tmp_path: Path) -> None:
    with low_descriptors_in_use(), Process(tmp_path) as recorder:
        recorder.send(numbered_frames(0, 100))
        assert recorder.end().frames == 100


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    with Process(tmp_path / "new" / "folder") as recorder:
        assert recorder.wait_state("recording").file == ""
        recorder.end()
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_new_file_begins_if_the_clock_is_set_back(tmp_path: Path) -> None:
    with Process(tmp_path, "blf") as recorder:
        recorder.send(numbered_frames(50_000, 10) + numbered_frames(0, 10))
        recorder.end()
    assert sorted(map(len, map(frames_in, tmp_path.iterdir()))) == [10, 10]
    assert sorted(recorded(tmp_path)) == numbered_frames(0, 10) + numbered_frames(50_000, 10)


def test_removed_file_is_reported_and_followed_by_a_new_one(tmp_path: Path) -> None:
    with Process(tmp_path) as recorder:
        recorder.send(numbered_frames(0, 1))
        poll(lambda: recorder.reports and recorder.reports[-1].file, what="a file")
        (only,) = tmp_path.iterdir()
        only.unlink()
        poll(lambda: any("was removed" in notice.text for notice in recorder.notices), what="a notice")
        recorder.send(numbered_frames(1, 5))
        recorder.end()
    assert recorded(tmp_path) == numbered_frames(1, 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_that_end_a_service_do_not_end_a_file(number: signal.Signals, tmp_path: Path) -> None:
    with Process(tmp_path) as recorder:
        recorder.send(numbered_frames(0, 10))
        recorder.wait_state("recording")
        recorder.process.send_signal(number)
        recorder.send(numbered_frames(10, 10))
        recorder.end()
    assert recorded(tmp_path) == numbered_frames(0, 20)


def test_unusable_folder_is_reported_with_the_remedy_and_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("a file")
    with Process(place) as recorder:
        stopped = recorder.wait_state("stopped")
        assert stopped.reason == f"{place} is not a folder. Choose another directory."
        recorder.send(numbered_frames(0, 5))
        poll(lambda: recorder.reports[-1].dropped == 5, what="the frames are counted")
        place.unlink()
        recorder.wait_state("recording")
        recorder.send(numbered_frames(5, 5))
        last = recorder.end()
    assert (last.frames, last.dropped) == (5, 5)
    assert recorded(place) == numbered_frames(5, 5)
    assert [notice.level for notice in recorder.notices] == ["error", "info", "info"]


def test_reason_names_the_user_if_the_folder_may_not_be_written(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root may write anywhere, unless it gives up that capability
        os.chown(place, 12345, 12345)
        prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    else:
        place.chmod(0o500)
    with Process(place, prefix=prefix) as recorder:
        reason = recorder.wait_state("stopped").reason
        recorder.end()
    assert f"no permission to write in {place}. Give the folder to user " in reason


def test_missing_package_for_mf4_is_reported_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden" / "asammdf"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('as if it were not installed')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hidden.parent), os.environ.get("PYTHONPATH", "")]))
    with Process(tmp_path / "recordings", "mf4") as recorder:
        assert recorder.wait_state("stopped").reason.startswith("format mf4 needs the Python package asammdf")
        recorder.send(numbered_frames(0, 5))
        assert recorder.end().dropped == 5
