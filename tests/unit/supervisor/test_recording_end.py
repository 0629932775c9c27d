"""Counts of recorders that end after their worker, over a real socket."""

from __future__ import annotations

import pytest

from cancorderd.ipc.channel import Channel
from cancorderd.ipc.messages import Counts, RecordingEnd
from cancorderd.supervisor.recording_end import RecordingWatch, uncounted
from tests.unit.supervisor.fakes import in_event_loop, until

LIFE = Counts(received=100, recorded=60, unrecorded=5)
"""Reports of a worker: 35 frames are on their way to the file."""


@pytest.mark.parametrize(
    ("end", "missing"),
    [
        (RecordingEnd(95, 0), Counts(recorded=35)),
        (RecordingEnd(80, 7), Counts(recorded=20, unrecorded=15)),
        (RecordingEnd(60, 0), Counts(unrecorded=35)),
        (None, Counts(unrecorded=35)),
        # A killed worker has not reported all frames that its recorder received.
        (RecordingEnd(130, 3), Counts(received=33, recorded=70, unrecorded=-2)),
    ],
)
def test_every_frame_is_recorded_or_dropped_in_the_end(end: RecordingEnd | None, missing: Counts) -> None:
    assert uncounted(LIFE, end) == missing
    whole = LIFE.plus(missing)
    assert whole.recorded + whole.unrecorded == whole.received


class Rig:
    """A watch, the recorder's end of its socket, and the counts that it has settled."""

    def __init__(self) -> None:
        self.settled: list[Counts] = []
        self.watch = RecordingWatch(self.settled.append)
        self.recorder = Channel(self.watch.for_worker.dup())
        self.worker = self.watch.for_worker


@in_event_loop
async def test_counts_are_settled_when_the_recorder_has_outlived_its_worker() -> None:
    rig = Rig()
    rig.watch.worker_ended(LIFE)
    rig.worker.close()
    rig.recorder.send(RecordingEnd(95, 0))
    rig.recorder.close()
    await until(lambda: rig.settled)
    assert rig.settled == [Counts(recorded=35)]


@in_event_loop
async def test_counts_are_settled_once_if_the_recorder_ends_first() -> None:
    rig = Rig()
    rig.recorder.send(RecordingEnd(95, 0))
    rig.recorder.close()
    rig.worker.close()
    await until(lambda: rig.watch._closed)
    assert rig.settled == []
    rig.watch.worker_ended(LIFE)
    assert rig.settled == [Counts(recorded=35)]


@in_event_loop
async def test_the_last_of_several_recorders_counts() -> None:
    rig = Rig()
    rig.recorder.send(RecordingEnd(10, 2))
    await until(lambda: rig.watch._end)
    rig.watch.worker_ended(LIFE)
    assert rig.settled == [], "another recorder may still write"
    rig.recorder.send(RecordingEnd(90, 2))
    await until(lambda: rig.settled)
    assert rig.settled == [Counts(recorded=30, unrecorded=5)], "although a process still holds the socket"
    rig.recorder.close()
    rig.worker.close()


@in_event_loop
async def test_a_recorder_without_a_last_message_has_written_what_was_reported() -> None:
    rig = Rig()
    rig.watch.worker_ended(LIFE)
    rig.worker.close()
    rig.recorder.close()
    await until(lambda: rig.settled)
    assert rig.settled == [Counts(unrecorded=35)]


@in_event_loop
async def test_nonsense_on_the_socket_ends_the_watch_alone() -> None:
    rig = Rig()
    rig.worker.send(b"\0\0\0\3\0\0\0\0\0{]}" * 3)
    rig.watch.worker_ended(LIFE)
    await until(lambda: rig.settled)
    rig.recorder.close()
    rig.worker.close()
