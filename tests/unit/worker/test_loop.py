"""The worker's loop with a source and a watch of the test's own, a real client and a real channel."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.ipc import channel
from cancorderd.ipc.channel import Channel, ChannelClosed, ReceivedMessage
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import (
    BusReport,
    ClientHandover,
    Counts,
    NewListeners,
    Notice,
    RecordingReport,
    WorkerEnd,
)
from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from cancorderd.worker import loop
from cancorderd.worker.loop import WorkerLoop
from cancorderd.worker.supervisor_channel import SupervisorChannel
from tests.support.harness import PATIENCE_S
from tests.unit.worker.streams import PACKET_BYTES, batch, connect, numbers, tcp_listener, tcp_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_COUNTS = Counts()
UNPLUGGED = BusError("the adapter is unplugged.")


class FakeSource(BaseSource):
    """A source that goes by the clock: returns these batches, one for each read, then raises `end`."""

    def __init__(self, *batches: Batch, end: Exception = UNPLUGGED) -> None:
        super().__init__()
        self.batches = list(batches)
        self.end = end
        self.audiences: list[int] = []
        self.closed = False
        self.before_read: Callable[[], object] = lambda: None

    def due(self, now_s: float) -> float | None:
        return 0.0

    def read(self, now_s: float) -> Batch:
        self.before_read()
        if not self.batches:
            raise self.end
        return self.batches.pop(0)

    def audience(self, clients: int, now_s: float) -> None:
        self.audiences.append(clients)

    def close(self) -> None:
        self.closed = True


class StoppedSource(FakeSource):
    """A source whose first empty batch stops the loop; the batches after it arrive at the end."""

    def __init__(self, *batches: Batch) -> None:
        super().__init__(*batches)
        self.before_stop: Callable[[], object] = lambda: None
        self.stopped = False

    def read(self, now_s: float) -> Batch:
        read = super().read(now_s)
        if not read.frames:
            self.before_stop()
        return read

    def stop(self) -> None:
        self.stopped = True


class EndlessSource(FakeSource):
    """A source that always has a frame."""

    def read(self, now_s: float) -> Batch:
        self.before_read()
        return batch(0, 1)


class QuietSource(FakeSource):
    """A source that is always due, and has no frame."""

    def read(self, now_s: float) -> Batch:
        self.before_read()
        return EMPTY_BATCH


class SilentSource(FakeSource):
    """A source that is never due, and has its batches for whoever reads all the same."""

    def due(self, now_s: float) -> float | None:
        return None

    def read(self, now_s: float) -> Batch:
        return self.batches.pop(0) if self.batches else EMPTY_BATCH


class PipeSource(FakeSource):
    """A source with a descriptor: readable once for each batch."""

    def __init__(self, *batches: Batch) -> None:
        super().__init__(*batches)
        self.reader, self.writer = socket.socketpair()
        self.writer.send(b"x" * (len(batches) + 1))

    def due(self, now_s: float) -> float | None:
        return None

    def fileno(self) -> int | None:
        return self.reader.fileno()

    def read(self, now_s: float) -> Batch:
        self.reader.recv(1)
        return super().read(now_s)

    def close(self) -> None:
        super().close()
        self.reader.close()
        self.writer.close()


class FakeWatch:
    """A watch that the adapter's arrival makes readable, when `arrive` is called."""

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()

    def arrive(self) -> None:
        self.writer.send(b"x")

    def fileno(self) -> int:
        return self.reader.fileno()

    def arrived(self) -> bool:
        return self.reader.recv(16) != b""

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


class FakeFeed:
    """A recording that writes every frame, and has lost a frame before."""

    def __init__(self, *arguments: object) -> None:
        _, self.record, *_ = arguments
        self.frames = 0
        self.closed = False

    def feed(self, batch: Batch) -> None:
        self.frames += batch.frames

    def tick(self, now_s: float) -> None:
        """Irrelevant here."""

    def report(self, now_s: float) -> RecordingReport:
        return RecordingReport("recording", "", "/r/body.log", 0, self.frames, 1)

    def close(self) -> None:
        self.closed = True


class Stage:
    """A worker's loop, and the supervisor's end of its channel."""

    def __init__(self) -> None:
        self.supervisor, theirs = channel.pair()
        self.worker = Channel(theirs)
        self.loop: WorkerLoop
        self.received: list[ReceivedMessage] = []

    def run(
        self,
        open_source: Callable[[Any], FakeSource],
        *,
        watch: FakeWatch | None = None,
        earlier: Counts = NO_COUNTS,
        listeners: tuple[socket.socket, ...] = (),
        clients: tuple[tuple[ClientHandover, socket.socket, bytes], ...] = (),
        **keys: Any,
    ) -> WorkerExit:
        """Run the loop until it ends, and receive its messages."""
        settings = rebuilt(MockSettings, {"name": "body", "interface": "mock", **keys})
        self.loop = WorkerLoop(
            settings,
            SupervisorChannel(self.worker),
            earlier,
            open_source=open_source,
            open_watch=lambda _settings: watch,
        )
        status = self.loop.run(list(listeners), list(clients))
        self.worker.close()
        try:
            while True:
                self.received += self.supervisor.receive()
        except ChannelClosed:
            return status

    @property
    def messages(self) -> list[object]:
        return [item.message for item in self.received]

    @property
    def reports(self) -> list[BusReport]:
        return [message for message in self.messages if isinstance(message, BusReport)]

    @property
    def states(self) -> list[tuple[str, str]]:
        """States and reasons in the order in which they were reported."""
        return list(dict.fromkeys((report.state, report.reason) for report in self.reports))

    def close(self) -> None:
        for item in self.received:
            for descriptor in item.descriptors:
                socket.close(descriptor)
        self.supervisor.close()
        self.worker.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    handler = signal.getsignal(signal.SIGTERM)
    stage = Stage()
    yield stage
    stage.close()
    signal.alarm(0)
    signal.signal(signal.SIGTERM, handler)


def handover(address: str = "127.0.0.1:5", sent: int = 0, unsent: int = 0) -> ClientHandover:
    return ClientHandover(address, 0, sent, 0, unsent)


def test_frames_are_sent_counted_and_the_client_is_handed_over_at_a_can_error(stage: Stage) -> None:
    source = FakeSource(batch(0, 10), EMPTY_BATCH, batch(10, 5))
    ours, client = tcp_pair()
    status = stage.run(lambda _settings: source, clients=((handover(), ours, b""),))
    assert (status, source.closed) == (WorkerExit.CAN_ERROR, True)
    with client:
        assert numbers(client.recv(1 << 16)) == list(range(15))
    counts = stage.reports[-1].counts
    assert (counts.received, counts.payload_bytes) == (15, 15 * 8)
    assert (counts.sent, counts.sent_bytes) == (15, 15 * PACKET_BYTES)
    assert stage.messages[-2:] == [handover(sent=15), WorkerEnd(str(UNPLUGGED))]


def test_position_of_the_last_batch_is_reported_soon(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame that no report holds would be delivered again if this worker was killed."""
    monkeypatch.setattr(loop, "REPORT_EVERY_S", 1000.0)

    class Positions(PipeSource):
        def position(self) -> str:
            left = len(self.batches)
            if left == 1:  # the report of the first audience
                self.writer.send(b"x")
            elif not left:
                stage.loop.stop()
            return str(left)

        def read(self, now_s: float) -> Batch:
            return super().read(now_s) if self.batches else EMPTY_BATCH

    source = Positions(batch(0, 10), batch(10, 5))
    source.resumable = True
    source.reader.recv(2)
    too_late = threading.Timer(PATIENCE_S, os.kill, (os.getpid(), signal.SIGTERM))
    too_late.start()
    stage.run(lambda _settings: source)
    too_late.cancel()
    (soon, _end) = [report for report in stage.reports if report.position == "0"]
    assert soon.counts.received == 15


def test_open_source_that_is_not_proved_is_waiting_until_it_is(stage: Stage) -> None:
    source = FakeSource(EMPTY_BATCH, EMPTY_BATCH, batch(0, 1))
    source.waiting = "nothing acknowledged; no frame yet."

    def prove() -> None:
        if len(source.batches) == 1:
            source.waiting = ""

    source.before_read = prove
    stage.run(lambda _settings: source)
    assert stage.states[-2:] == [("waiting", "nothing acknowledged; no frame yet."), ("running", "")]


def test_source_that_is_being_set_up_leaves_the_bus_starting(stage: Stage) -> None:
    source = FakeSource(EMPTY_BATCH, EMPTY_BATCH)
    source.waiting, source.setting_up = "being set up.", True

    def prove() -> None:
        if len(source.batches) == 1:
            source.waiting = ""

    source.before_read = prove
    stage.run(lambda _settings: source)
    assert ("waiting", "being set up.") not in stage.states
    assert stage.states[-1] == ("running", "")


def test_silence_counts_from_the_moment_at_which_the_bus_runs(stage: Stage) -> None:
    source = QuietSource()
    source.waiting = "nothing acknowledged; no frame yet."
    opened_s = time.monotonic()

    def prove() -> None:
        if time.monotonic() - opened_s > 0.3:
            source.waiting = ""

    source.before_read = prove
    stage.run(lambda _settings: source, silence_timeout=0.1)
    assert ("running", "") in stage.states, "0.3 s of waiting are no silence"
    assert "no frame for 0.1 s" in str(stage.messages[-1])


def test_source_whose_adapter_is_of_no_use_is_closed_and_another_is_opened(stage: Stage) -> None:
    useless, good = FakeSource(end=AdapterAbsent("x refuses S6.")), FakeSource(batch(0, 1))
    useless.waiting, useless.error_frames = "being set up.", 3
    sources = [useless, good]
    stage.run(lambda _settings: sources.pop(0))
    assert useless.closed
    assert ("waiting", "x refuses S6.") in stage.states
    assert stage.states[-1] == ("running", "")
    assert stage.reports[-1].counts.error == 3


def test_sentences_of_a_source_are_logged_once_also_those_before_its_failure(stage: Stage) -> None:
    source = FakeSource(EMPTY_BATCH, EMPTY_BATCH)
    source.notices.append(("info", "opened"))

    def fail() -> None:
        if not source.batches:
            source.notices.append(("warning", "failed"))

    source.before_read = fail
    stage.run(lambda _settings: source)
    said = [message for message in stage.messages if isinstance(message, Notice)]
    assert said == [Notice("info", "opened"), Notice("warning", "failed")]


def test_bytes_that_an_earlier_worker_did_not_send_come_first(stage: Stage) -> None:
    ours, client = tcp_pair()
    unsent = batch(0, 3).packets[10:]
    source = FakeSource(*[EMPTY_BATCH] * 5, batch(3, 3))
    stage.run(lambda _settings: source, clients=((handover(unsent=3), ours, unsent),))
    with client:
        assert numbers(batch(0, 1).packets[:10] + client.recv(1 << 16)) == list(range(6))


def test_clients_can_connect_to_a_listener_that_comes_later(stage: Stage) -> None:
    listener = tcp_listener()
    stage.supervisor.send(NewListeners(), sockets=[listener])
    with listener, connect(listener):
        source = FakeSource(*[EMPTY_BATCH] * 5, batch(0, 3))
        stage.run(lambda _settings: source)
    assert source.audiences[-1] == 1


def test_source_with_a_descriptor_is_read_when_it_is_readable(stage: Stage) -> None:
    source = PipeSource(batch(0, 3), batch(3, 3))
    assert stage.run(lambda _settings: source) == WorkerExit.CAN_ERROR
    assert stage.reports[-1].counts.received == 6


def test_counts_include_those_of_earlier_workers_and_of_the_source(stage: Stage) -> None:
    source = FakeSource(batch(0, 10))
    source.error_frames, source.remote_frames, source.lost_kernel, source.lost_adapter = 1, 2, 3, 4
    source.controller = "error-warning"
    source.details = {"firmware": "1.0"}
    stage.run(lambda _settings: source, earlier=Counts(received=5, error=7))
    report = stage.reports[-1]
    assert report.counts == Counts(15, 80, 8, 2, 3, 4)
    assert (report.controller, report.details) == ("error-warning", {"firmware": "1.0"})


def test_absent_adapter_is_opened_when_the_watch_notices_its_arrival(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "WATCHED_REOPEN_S", 2 * PATIENCE_S)
    began_s = time.monotonic()
    watch = FakeWatch()
    attempts = 0

    def open_source(_settings: object) -> FakeSource:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            return FakeSource(batch(0, 1))
        if attempts == 2:  # the watch is open: a look for what it may have missed
            watch.arrive()
        raise AdapterAbsent("there is no adapter.")

    assert stage.run(open_source, watch=watch) == WorkerExit.CAN_ERROR
    assert (attempts, watch.reader.fileno()) == (3, -1)
    assert time.monotonic() - began_s < PATIENCE_S
    assert stage.states == [("waiting", "there is no adapter."), ("running", "")]
    assert stage.reports[-1].counts.received == 1


def test_refused_settings_end_the_worker_with_the_reason(stage: Stage) -> None:
    def open_source(_settings: object) -> FakeSource:
        raise SettingsRefused("bitrate 123 is not possible.")

    assert stage.run(open_source) == WorkerExit.REFUSED
    assert stage.messages[-1] == WorkerEnd("bitrate 123 is not possible.")


def test_adapter_that_disappears_is_a_can_error(stage: Stage) -> None:
    source = FakeSource(batch(0, 1), end=AdapterAbsent("there is no adapter."))
    assert stage.run(lambda _settings: source) == WorkerExit.CAN_ERROR


def test_silence_is_a_can_error(stage: Stage) -> None:
    status = stage.run(lambda _settings: SilentSource(), silence_timeout=0.002)
    assert status == WorkerExit.CAN_ERROR
    assert stage.messages[-1] == WorkerEnd("no frame for 0.002 s (silence_timeout).")


def test_frames_that_have_arrived_are_read_before_a_bus_is_silent(stage: Stage) -> None:
    status = stage.run(lambda _settings: SilentSource(batch(0, 3)), silence_timeout=0.002)
    assert (status, stage.reports[-1].counts.received) == (WorkerExit.CAN_ERROR, 3)


def test_bus_is_not_silent_until_the_timeout_has_passed(stage: Stage) -> None:
    source = FakeSource(EMPTY_BATCH, batch(0, 1), EMPTY_BATCH)
    stage.run(lambda _settings: source, silence_timeout=PATIENCE_S)
    assert stage.messages[-1] == WorkerEnd(str(UNPLUGGED))


def test_recording_gets_every_batch_and_its_frames_are_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds: list[FakeFeed] = []

    def start(*arguments: object) -> FakeFeed:
        feeds.append(FakeFeed(*arguments))
        return feeds[-1]

    monkeypatch.setattr("cancorderd.worker.recording_feed.RecordingFeed", start)
    stage.run(lambda _settings: FakeSource(batch(0, 2), batch(2, 3)), record={"directory": "/r"})
    (feed,) = feeds
    assert (feed.record, feed.frames, feed.closed) == (RecordSettings(directory="/r"), 5, True)
    assert stage.reports[-1].recording == RecordingReport("recording", "", "/r/body.log", 0, 5, 1)
    assert (stage.reports[-1].counts.recorded, stage.reports[-1].counts.unrecorded) == (5, 1)


def test_nothing_is_recorded_if_recording_is_disabled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cancorderd.worker.recording_feed.RecordingFeed", None)
    stage.run(lambda _settings: FakeSource(), record={"directory": "/r", "enabled": False})
    assert stage.reports[-1].recording is None


def test_sigterm_ends_the_worker_in_good_order(stage: Stage) -> None:
    source = FakeSource(*[EMPTY_BATCH] * 1000)
    source.before_read = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert stage.run(lambda _settings: source) == WorkerExit.DONE
    assert source.closed
    assert stage.messages[-1] == WorkerEnd("")


def test_worker_ends_when_its_supervisor_is_gone(stage: Stage) -> None:
    source = FakeSource(*[EMPTY_BATCH] * 1000)
    source.before_read = stage.supervisor.close
    assert stage.run(lambda _settings: source) == WorkerExit.DONE
    assert source.closed


def test_source_learns_how_many_clients_there_are(stage: Stage) -> None:
    source = FakeSource(*[EMPTY_BATCH] * 1000)
    with tcp_listener() as listener, connect(listener) as client:

        def change_clients() -> None:
            if source.audiences[-1:] == [1]:
                client.close()
            elif source.audiences[-2:] == [1, 0]:
                source.batches.clear()

        source.before_read = change_clients
        stage.run(lambda _settings: source, listeners=(listener.dup(),))
    assert source.audiences == [0, 1, 0]
    notices = [message.text for message in stage.messages if isinstance(message, Notice)]
    assert [text.split()[-1] for text in notices] == ["connected", "client"]


def test_adapter_that_auto_has_found_is_shown_as_a_detail(stage: Stage) -> None:
    source = FakeSource()
    source.details = {"found": "slcan on /dev/ttyACM0"}
    stage.run(lambda _settings: source)
    assert stage.reports[-1].details == {"found": "slcan on /dev/ttyACM0"}
    assert Notice("info", "found slcan on /dev/ttyACM0") in stage.messages


def test_end_in_order_delivers_the_frames_that_have_arrived(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds: list[FakeFeed] = []

    def start(*arguments: object) -> FakeFeed:
        feeds.append(FakeFeed(*arguments))
        return feeds[-1]

    monkeypatch.setattr("cancorderd.worker.recording_feed.RecordingFeed", start)
    source = StoppedSource(batch(0, 1), EMPTY_BATCH, batch(1, 5), batch(6, 4), EMPTY_BATCH)
    source.before_stop = lambda: stage.loop.stop()
    ours, client = tcp_pair()
    record = {"directory": "/r"}
    status = stage.run(lambda _settings: source, clients=((handover(), ours, b""),), record=record)
    assert status == WorkerExit.DONE
    with client:
        assert numbers(client.recv(1 << 16)) == list(range(10))
    assert (stage.reports[-1].counts.received, feeds[0].frames) == (10, 10)
    assert source.stopped


def test_adapter_that_fails_at_the_end_does_not_change_the_end(stage: Stage) -> None:
    source = StoppedSource(batch(0, 1), EMPTY_BATCH, batch(1, 5))
    source.before_stop = lambda: stage.loop.stop()
    assert stage.run(lambda _settings: source) == WorkerExit.DONE
    assert stage.reports[-1].counts.received == 6


def test_adapter_that_does_not_stop_sending_does_not_hold_up_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_READ_REST_S", 0.01)
    source = EndlessSource()
    source.before_read = lambda: stage.loop.stop()
    assert stage.run(lambda _settings: source) == WorkerExit.DONE
