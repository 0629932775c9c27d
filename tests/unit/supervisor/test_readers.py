"""Readers of frames in the supervisor: passed to the worker, kept between two workers, let go when the bus stops."""

from __future__ import annotations

import contextlib
import os
import socket

from cancorderd.ipc import channel
from cancorderd.ipc.messages import BusReport, ClientHandover, Counts, RecordingEnd
from cancorderd.supervisor.bus import Bus
from cancorderd.supervisor.recording_end import uncounted
from cancorderd.supervisor.state_machine import Event, State
from cancorderd.supervisor.status import bus_status
from cancorderd.supervisor.worker_process import HeldClient, WorkerProcess
from tests.support.harness import PATIENCE_S
from tests.unit.supervisor.fakes import CAN_ERROR, FakePorts, FakeTap, Workers, in_event_loop, mock_settings

READER = ClientHandover("", 0.0, 5, 2, 0, tap=True, internal=True)


class Rig:
    """A bus with fakes around it, and a reader's connection."""

    def __init__(self) -> None:
        self.workers = Workers()
        self.ports = FakePorts()
        self.tap = FakeTap()
        self.bus = Bus(mock_settings(), self.ports, lambda _bus: None, tap=self.tap, new_worker=self.workers)
        self.sock, self.peer = socket.socketpair()
        self.peer.settimeout(PATIENCE_S)

    def run(self) -> None:
        self.bus.handle(Event.START)
        self.workers.last.report("running")

    def fail(self) -> None:
        """Let the worker end with a CAN error, and hand over its reader."""
        copy = os.dup(self.sock.fileno())
        self.sock.close()
        self.workers.last.send(READER, b"rest", [copy])
        self.workers.last.exit(CAN_ERROR)


@in_event_loop
async def test_reader_goes_to_the_worker_that_runs_and_is_counted_at_once() -> None:
    rig = Rig()
    rig.run()
    rig.bus.add_reader(rig.sock, b"head")
    (reader,) = rig.workers.last.readers
    assert (reader.socket, reader.unsent) == (rig.sock, b"head")
    assert bus_status(rig.bus)["readers"] == {"connected": 1, "frames_dropped": 0}
    rig.workers.last.send(BusReport("running", "", None, Counts(lost_taps=7), [], {}, readers=1))
    assert bus_status(rig.bus)["readers"] == {"connected": 1, "frames_dropped": 7}
    assert bus_status(rig.bus)["clients"] == []
    finish(rig)


@in_event_loop
async def test_reader_waits_for_the_next_worker_and_does_not_take_the_place_of_the_printer() -> None:
    rig = Rig()
    rig.run()
    rig.fail()
    assert rig.bus.state == State.BACKOFF
    assert rig.bus.readers == 1
    rig.bus.handle(Event.START)
    assert rig.tap.streams == 2, "the printer has a stream of its own with each worker here"
    assert [client.unsent for client in rig.workers.last.clients if client.handover.internal] == [b"rest"]
    finish(rig)


@in_event_loop
async def test_reader_that_comes_between_two_workers_waits_too() -> None:
    rig = Rig()
    rig.run()
    rig.workers.last.exit(CAN_ERROR)
    rig.bus.add_reader(rig.sock, b"")
    rig.bus.handle(Event.START)
    assert [client.socket for client in rig.workers.last.clients if client.handover.internal] == [rig.sock]
    finish(rig)


@in_event_loop
async def test_reader_that_has_gone_meanwhile_is_forgotten_and_a_stop_lets_readers_go() -> None:
    rig = Rig()
    rig.run()
    rig.fail()
    rig.peer.close()
    rig.bus.handle(Event.START)
    assert not [client for client in rig.workers.last.clients if client.handover.internal]
    finish(rig)

    rig = Rig()
    rig.run()
    rig.fail()
    rig.bus.handle(Event.STOP)
    assert rig.peer.recv(1) == b""
    assert rig.tap.rest == b"", "its bytes are not the printer's"
    finish(rig)


def finish(rig: Rig) -> None:
    rig.bus._cancel_timer()
    held = [*rig.bus.held_clients, *(client for worker in rig.workers.made for client in worker.clients)]
    readers = [reader.socket for worker in rig.workers.made for reader in worker.readers]
    for sock in (rig.sock, rig.peer, *rig.ports.open, *readers, *(client.socket for client in held)):
        sock.close()


def test_socket_of_a_reader_stays_open_until_the_channel_has_passed_it_on() -> None:
    ours, theirs = channel.pair()
    process = WorkerProcess(lambda _message: None, lambda _status: None)
    process._channel = ours
    sock, peer = socket.socketpair()
    process.add_reader(HeldClient(READER, sock, b"head"))
    assert sock.fileno() == -1, "the process has a copy"
    (received,) = channel.Channel(theirs).receive()
    assert (received.message, received.payload, len(received.descriptors)) == (READER, b"head", 1)
    for descriptor in received.descriptors:
        os.close(descriptor)
    assert peer.recv(1) == b"", "no other copy is open"
    for end in (ours, theirs, peer):
        with contextlib.suppress(OSError):
            end.close()


def test_errors_that_a_recorder_wrote_after_its_worker_had_ended_are_counted() -> None:
    life = Counts(received=100, recorded=60, recorded_errors=3)
    missing = uncounted(life, RecordingEnd(95, 5, 8, 2))
    assert (missing.recorded, missing.recorded_errors, missing.unrecorded_errors) == (35, 5, 2)
