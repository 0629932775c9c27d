"""Readers of the control socket: they get remote and error frames, cost the clients nothing, and are counted."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.failures import BusError
from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.ipc import channel
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import MOST_READERS, BusReport, ClientHandover, Counts, WorkerEnd
from cancorderd.protocol.batch import EMPTY_BATCH, Batch, batch_of
from cancorderd.protocol.frame import ERROR, Frame
from cancorderd.protocol.internal_packets import InternalDecoder, error_packet
from cancorderd.protocol.packets import encode
from cancorderd.worker.client_server import ClientServer
from cancorderd.worker.loop import WorkerLoop
from cancorderd.worker.supervisor_channel import SupervisorChannel
from tests.support.descriptors import free_descriptors
from tests.support.harness import PATIENCE_S
from tests.unit.worker.streams import batch, connect, numbers, tcp_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READER = ClientHandover("", 0, 0, 0, 0, tap=True, internal=True)
DATA = [Frame(1, 1, 0, number.to_bytes(8)) for number in range(2)]
MIXED = batch_of([encode(DATA[0]), error_packet(2, 4, bytes(8)), encode(DATA[1])], [1])
ERRORS = batch_of([error_packet(3, 0x80)], [0])


class Stage:
    """A server with a client and any number of readers."""

    def __init__(self, **keys: Any) -> None:
        share = keys.pop("backlog_share", None)
        settings = rebuilt(MockSettings, {"name": "body", "interface": "mock", **keys})
        self.selector = selectors.DefaultSelector()
        self.notices: list[str] = []
        self.server = ClientServer(settings, self.selector, lambda _, text: self.notices.append(text), share)
        self.listener = tcp_listener()
        self.server.listen(self.listener.dup())
        self.sockets = [self.listener]
        self.client = connect(self.listener)
        self.sockets.append(self.client)
        self.serve()

    def serve(self) -> None:
        for key, events in self.selector.select(PATIENCE_S):
            key.data(events)

    def add_reader(self, unsent: bytes = b"") -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE_S)
        self.sockets.append(theirs)
        self.server.add_reader(READER, ours, unsent)
        return theirs

    def close(self) -> None:
        self.server.close()
        self.selector.close()
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage; a test's parameter is its settings."""
    stage = Stage(**getattr(request, "param", {}))
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A worker's loop takes SIGTERM."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def read_frames(sock: socket.socket) -> list[Frame]:
    decoder = InternalDecoder()
    decoder.receive(sock.recv(1 << 16))
    return list(decoder.frames())


def test_reader_gets_all_frames_in_order_and_a_client_data_frames_alone(stage: Stage) -> None:
    reader = stage.add_reader()
    assert stage.server.readers == 1
    for sent in (ERRORS, MIXED):
        stage.server.broadcast(sent)
    assert numbers(stage.client.recv(1 << 16)) == [0, 1]
    assert [frame.arbitration_id for frame in read_frames(reader)] == [0x80, 1, 4, 1]
    assert stage.server.sent[0] == 2, "readers are in no count of clients"
    assert len(stage.server.reports()) == stage.server.clients == 1


def test_reader_gets_the_bytes_of_the_handover_first(stage: Stage) -> None:
    reader = stage.add_reader(b"HTTP/1.1 200 OK\r\n\r\n")
    stage.server.broadcast(ERRORS)
    stage.serve()
    assert reader.recv(1 << 16) == b"HTTP/1.1 200 OK\r\n\r\n" + ERRORS.complete


def test_reader_that_does_not_read_loses_its_own_frames_within_a_bound_and_they_are_counted(
    stage: Stage,
) -> None:
    stage.client.close()
    stage.serve()
    stage.add_reader()
    for number in range(0, 200_000, 1000):
        stage.server.broadcast(batch(number, 1000))
    kept = b""
    for handover, sock, unsent in stage.server.hand_over():
        sock.close()
        kept += unsent if handover.internal else b""
    assert stage.server.frames_lost_by_taps > 100_000
    assert stage.server.frames_lost == 0
    assert len(kept) <= 1 << 20, "whatever client_backlog says"


@pytest.mark.parametrize("stage", [{"backlog_share": 3_000_000}], indirect=True)
def test_share_of_all_backlogs_is_taken_from_readers_before_clients(stage: Stage) -> None:
    for _ in range(3):
        stage.add_reader()
    number = 0
    while stage.server.reports()[0].backlog_bytes < 1_900_000:
        stage.server.broadcast(batch(number, 500))
        number += 500
    assert stage.server.frames_lost_by_taps
    assert stage.server.frames_lost == 0


def test_readers_beyond_the_limit_are_refused(stage: Stage) -> None:
    readers = [stage.add_reader() for _ in range(MOST_READERS)]
    assert stage.add_reader().recv(1) == b""
    assert "refused" in stage.notices[-1]
    readers[0].close()
    stage.serve()
    assert stage.server.readers == MOST_READERS - 1
    stage.add_reader()
    assert stage.server.readers == MOST_READERS


def test_next_worker_goes_on_with_a_reader(stage: Stage) -> None:
    reader = stage.add_reader()
    following = Stage()
    for handover, sock, unsent in stage.server.hand_over():
        following.server.adopt(handover, sock, unsent)
    following.server.broadcast(MIXED)
    assert [frame.flags for frame in read_frames(reader)] == [0, ERROR, 0]
    assert (stage.server.readers, following.server.readers) == (0, 1)
    following.close()


class WatchedSource(BaseSource):
    """Has a batch for each read, and notes whether remote and error frames are wanted."""

    def __init__(self, batches: list[Batch], before_read: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.wanted: list[bool] = []
        self._batches = batches
        self._before_read = before_read

    def due(self, now_s: float) -> float | None:
        return 0.0

    def read(self, now_s: float) -> Batch:
        self.wanted.append(self.internal)
        self._before_read()
        if not self._batches:
            raise BusError("the end.")
        return self._batches.pop(0)

    def close(self) -> None:
        """Nothing to release."""


def run_loop(
    source: WatchedSource,
    *clients: tuple[ClientHandover, socket.socket, bytes],
    pair: tuple[Channel, socket.socket] | None = None,
    **keys: Any,
) -> tuple[WorkerExit, list[object]]:
    supervisor, theirs = pair or channel.pair()
    worker = Channel(theirs)
    settings = rebuilt(MockSettings, {"name": "body", "interface": "mock", **keys})
    loop = WorkerLoop(
        settings,
        SupervisorChannel(worker),
        Counts(),
        open_source=lambda _settings: source,
        open_watch=lambda _settings: None,
    )
    status = loop.run([], list(clients))
    worker.close()
    received: list[object] = []
    with contextlib.suppress(ChannelClosed):
        while True:
            for item in supervisor.receive():
                received.append(item.message)
                for descriptor in item.descriptors:
                    os.close(descriptor)
    supervisor.close()
    return status, received


def test_source_makes_packets_of_errors_only_while_somebody_reads_them() -> None:
    ours, reader = socket.socketpair()
    reader.settimeout(PATIENCE_S)
    source = WatchedSource([MIXED, ERRORS])
    _, messages = run_loop(source, (READER, ours, b""))
    assert source.wanted == [True] * 3
    assert [frame.arbitration_id for frame in read_frames(reader)] == [1, 4, 1, 0x80]
    report = [message for message in messages if isinstance(message, BusReport)][-1]
    assert (report.readers, report.counts.received, report.clients) == (1, 2, [])
    reader.close()

    source = WatchedSource([MIXED, ERRORS])
    run_loop(source)
    assert source.wanted == [False] * 3


def test_recorded_errors_are_wanted_without_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    class Feed:
        fed: list[Batch]

        def __init__(self, *_: object) -> None:
            Feed.fed = []

        def feed(self, batch: Batch) -> None:
            Feed.fed.append(batch)

        def tick(self, now_s: float) -> None:
            """Nothing to do."""

        def report(self, now_s: float) -> None:
            return None

        def close(self) -> None:
            """Nothing to do."""

    monkeypatch.setattr("cancorderd.worker.recording_feed.RecordingFeed", Feed)
    for errors in (True, False):
        source = WatchedSource([ERRORS, MIXED])
        run_loop(source, record={"directory": "/r", "errors": errors})
        assert source.wanted == [errors] * 3
        assert Feed.fed == [ERRORS, MIXED]


def test_error_frames_are_no_sign_of_life_whoever_reads_them() -> None:
    ours, reader = socket.socketpair()
    source = WatchedSource([], lambda: time.sleep(0.01))
    source._batches = [ERRORS] * 1000
    began_s = time.monotonic()
    status, _ = run_loop(source, (READER, ours, b""), silence_timeout=0.1)
    assert status == WorkerExit.CAN_ERROR
    assert len(source._batches) > 0, f"silent after {time.monotonic() - began_s:.1f} s"
    reader.close()


def test_frames_that_arrive_at_the_end_reach_the_reader() -> None:
    class Stopped(WatchedSource):
        def read(self, now_s: float) -> Batch:
            read = super().read(now_s)
            if read == EMPTY_BATCH:
                loops[0].stop()
            return read

    loops: list[WorkerLoop] = []
    ours, reader = socket.socketpair()
    reader.settimeout(PATIENCE_S)
    source = Stopped([MIXED, EMPTY_BATCH, ERRORS, EMPTY_BATCH])
    supervisor, theirs = channel.pair()
    loop = WorkerLoop(
        rebuilt(MockSettings, {"name": "body", "interface": "mock"}),
        SupervisorChannel(Channel(theirs)),
        Counts(),
        open_source=lambda _settings: source,
        open_watch=lambda _settings: None,
    )
    loops.append(loop)
    assert loop.run([], [(READER, ours, b"")]) == WorkerExit.DONE
    supervisor.close()
    theirs.close()
    assert [frame.arbitration_id for frame in read_frames(reader)] == [1, 4, 1, 0x80]
    reader.close()


@pytest.mark.parametrize("free", [0, 1, 2])
def test_reader_for_which_no_descriptor_is_free_costs_the_bus_nothing(free: int) -> None:
    pair = channel.pair()
    ours, reader = socket.socketpair()
    reader.settimeout(PATIENCE_S)
    shortage = contextlib.ExitStack()
    source = WatchedSource([MIXED] * 6)

    def before_read() -> None:
        if len(source.wanted) == 2:
            shortage.enter_context(free_descriptors(free))
            pair[0].send(READER, b"", [ours])
        elif len(source.wanted) == 6:
            shortage.close()

    source._before_read = before_read
    with ours:
        status, messages = run_loop(source, pair=pair)
    assert status == WorkerExit.CAN_ERROR
    assert WorkerEnd("the end.") in messages, "the source ended the bus, and not its reader"
    assert bool(reader.recv(1)) == bool(free)
    reader.close()
