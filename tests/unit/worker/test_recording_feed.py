"""The worker's side of recording, with shell commands in place of the recorder."""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.record_settings import RecordSettings
from cancorderd.worker import recording_feed
from cancorderd.worker.recording_feed import RecordingFeed
from tests.support.descriptors import free_descriptors
from tests.support.harness import PATIENCE_S, busy_limit_s
from tests.unit.worker.streams import batch, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Stage:
    """A feed, and a selector that the test turns. The `script` gets the number of its socket as `$1`."""

    def __init__(self, folder: Path, script: str, supervisor: socket.socket | None = None) -> None:
        self.script = script
        self.selector = selectors.DefaultSelector()
        self.notices: list[str] = []
        record = RecordSettings(directory=str(folder))
        settings = MockSettings(name="body", interface="mock", client_backlog=65536, record=record)
        self.feed = RecordingFeed(
            settings, record, self.selector, self._note, supervisor, command=self._command
        )

    def _note(self, level: str, text: str) -> None:
        self.notices.append(f"{level}: {text}")

    def _command(self, _settings: object, _record: object, descriptor: int) -> list[str]:
        return ["bash", "-c", self.script, "recorder", str(descriptor)]

    def serve_until_stopped(self) -> None:
        """Serve the feed's events until the recorder has ended."""
        while self.selector.get_map():
            ready = self.selector.select(PATIENCE_S)
            assert ready
            for key, events in ready:
                key.data(events)

    def close(self) -> None:
        self.feed.close()
        if self.feed._process:
            self.feed._process.kill()
            self.feed._process.wait(PATIENCE_S)
        self.selector.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[[str], Stage]]:
    stages: list[Stage] = []

    def make(script: str) -> Stage:
        stages.append(Stage(tmp_path, script))
        return stages[-1]

    yield make
    for made in stages:
        made.close()


def test_recorder_receives_every_batch(stage: Callable[[str], Stage], tmp_path: Path) -> None:
    recording = stage(f'cat <&"$1" >"{tmp_path}/stream"')
    for number in range(20):
        recording.feed.feed(batch(1000 * number, 1000))
    recording.feed.close()
    assert recording.feed._process
    recording.feed._process.wait(PATIENCE_S)
    assert numbers((tmp_path / "stream").read_bytes()) == list(range(20_000))


def test_frames_of_a_recorder_that_ended_are_counted_as_dropped(stage: Callable[[str], Stage]) -> None:
    recording = stage('head -c 22 <&"$1" >/dev/null; exit 3')
    recording.feed.feed(batch(0, 10))
    recording.serve_until_stopped()
    recording.feed.feed(batch(10, 5))
    report = recording.feed.report(time.monotonic())
    assert (report.state, report.frames, report.dropped) == ("stopped", 0, 15)
    assert report.reason == "the recorder ended with status 3; the next one starts in 1 s."
    assert recording.notices == [f"error: recording stopped: {report.reason}"]


def test_signal_that_ended_the_recorder_is_reported(stage: Callable[[str], Stage]) -> None:
    recording = stage("kill -9 $$")
    recording.serve_until_stopped()
    assert "the recorder ended by signal 9 (Killed)" in recording.feed.report(0).reason


def test_next_recorder_starts_after_a_delay_that_doubles(stage: Callable[[str], Stage]) -> None:
    recording = stage("exit 1")
    for delay_s in (1, 2, 4):
        recording.serve_until_stopped()
        ended_s = time.monotonic()
        assert recording.feed.report(ended_s).reason.endswith(f"the next one starts in {delay_s} s.")
        recording.feed.tick(ended_s)
        assert not recording.selector.get_map(), "too early"
        recording.feed.tick(ended_s + delay_s)
        assert recording.selector.get_map(), "the next recorder runs"


def test_recorder_that_does_not_read_loses_its_own_frames(stage: Callable[[str], Stage]) -> None:
    recording = stage("sleep 60")
    for number in range(100):
        recording.feed.feed(batch(1000 * number, 1000))
    now_s = time.monotonic()
    recording.feed.tick(now_s)
    recording.feed.tick(now_s)
    assert recording.feed.report(now_s).dropped > 0
    assert recording.notices == ["warning: recording falls behind: frames are missing in the file"]
    assert recording.feed.report(now_s).reason == ""
    assert "the recorder has not answered for " in recording.feed.report(now_s + 6).reason


def test_recorder_that_cannot_be_started_is_tried_again(
    stage: Callable[[str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def popen(*_: Any, **__: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", popen)
        recording = stage("sleep 60")
        recording.feed.feed(batch(0, 3))
    report = recording.feed.report(time.monotonic())
    assert (report.state, report.dropped) == ("stopped", 3)
    assert "the recorder cannot be started (Cannot allocate memory)" in report.reason
    recording.feed.tick(time.monotonic() + 1)
    assert recording.selector.get_map(), "the recorder runs"


@pytest.mark.parametrize("free", range(5))
def test_lack_of_descriptors_stops_the_recording_alone(stage: Callable[[str], Stage], free: int) -> None:
    with free_descriptors(100):
        recording = stage("exit 1")
    recording.serve_until_stopped()
    with free_descriptors(free):
        recording.feed.tick(time.monotonic() + 1)
    assert "the recorder cannot be started (Too many open files)" in recording.feed.report(0).reason
    recording.feed.feed(batch(0, 3))
    recording.feed.tick(time.monotonic() + 4)
    assert recording.selector.get_map(), "the next recorder runs"


def test_recorder_has_a_socket_to_the_supervisor_and_the_counts_of_those_before(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = f'echo "$*" >>{tmp_path}/arguments; echo hello >&"$3"; head -c 22 <&"$1" >/dev/null'
        recording = Stage(tmp_path, script, theirs)
        recording.feed.feed(batch(0, 10))
        recording.serve_until_stopped()
        recording.feed.tick(time.monotonic() + 1)
        assert ours.recv(100).startswith(b"hello")
        recording.close()
    first, second = (line.split()[1:] for line in (tmp_path / "arguments").read_text().splitlines())
    assert first == ["--supervisor", str(first[1]), "0", "0"]
    assert second[2:] == ["0", "10"], "frames written and dropped before"


def test_recorder_that_reads_slowly_does_not_hold_up_the_end(
    stage: Callable[[str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_feed, "_CLOSE_S", 0.1)
    recording = stage('while head -c 4096 <&"$1" >/dev/null; do sleep 0.05; done')
    for number in range(200):
        recording.feed.feed(batch(1000 * number, 1000))
    assert recording.feed._out.backlog.size
    began_s = time.monotonic()
    recording.feed.close()
    assert time.monotonic() - began_s < busy_limit_s(5)
