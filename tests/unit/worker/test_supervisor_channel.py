"""The worker's end of the channel, with a real channel to a supervisor that the test plays."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from cancorderd.ipc import channel
from cancorderd.ipc.channel import Channel, ChannelClosed, ReceivedMessage
from cancorderd.ipc.messages import BusReport, ClientHandover, Counts, Notice, WorkerEnd
from cancorderd.worker.supervisor_channel import SupervisorChannel
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDOVER = ClientHandover("127.0.0.1:5", 0, 0, 0, 0)


def report(number: int) -> BusReport:
    return BusReport("running", "x" * 1000, None, Counts(received=number), [], {})


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """The supervisor's end, and the worker's."""
    ours, theirs = channel.pair()
    worker = Channel(theirs)
    yield ours, worker
    ours.close()
    worker.close()


def received_numbers(supervisor: Channel) -> list[int]:
    """Read every report that has arrived."""
    found = []
    while messages := supervisor.receive():
        found += [item.message.counts.received for item in messages if isinstance(item.message, BusReport)]
    return found


def test_reports_are_discarded_while_the_supervisor_does_not_read(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    connection = SupervisorChannel(worker)
    for number in range(10_000):
        connection.report(report(number))
    assert worker.backlog
    arrived = received_numbers(supervisor)
    assert 0 < len(arrived) < 10_000
    assert arrived == list(range(len(arrived)))
    connection.report(report(-1))
    connection.notice(Notice("info", "connected"))
    assert received_numbers(supervisor)[-1] == -1
    assert not worker.backlog


def test_discarded_notices_are_counted(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    connection = SupervisorChannel(worker)
    while not worker.backlog:
        connection.report(report(0))
    for _ in range(3):
        connection.notice(Notice("info", "unseen"))
    received_numbers(supervisor)
    connection.report(report(1))
    connection.notice(Notice("info", "seen"))
    notices = []
    while messages := supervisor.receive():
        notices += [item.message.text for item in messages if isinstance(item.message, Notice)]
    assert notices == ["3 messages of the worker are missing here: the supervisor did not read them", "seen"]


def test_client_is_handed_over_with_its_unsent_bytes(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    ours, client = socket.socketpair()
    SupervisorChannel(worker).hand_over(HANDOVER, ours, b"unsent")
    ((message, payload, (descriptor,)),) = supervisor.receive()
    assert (message, payload, ours.fileno()) == (HANDOVER, b"unsent", -1)
    with client, socket.socket(fileno=descriptor) as copy:
        copy.send(b"more")
        assert client.recv(4) == b"more"


def test_end_waits_until_the_supervisor_has_received_everything(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    connection = SupervisorChannel(worker)
    ours, client = socket.socketpair()
    unsent = bytes(5_000_000)
    connection.hand_over(HANDOVER, ours, unsent)
    assert worker.backlog
    received: list[ReceivedMessage] = []

    def read() -> None:
        while len(received) < 2:
            received.extend(supervisor.receive())

    reader = threading.Thread(target=read)
    reader.start()
    connection.end(WorkerEnd("unplugged"))
    assert not worker.backlog
    reader.join(PATIENCE_S)
    assert received[0].payload == unsent
    assert received[1].message == WorkerEnd("unplugged")
    socket.close(received[0].descriptors[0])
    client.close()


def test_messages_are_discarded_after_the_supervisor_is_gone(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    connection = SupervisorChannel(worker)
    assert connection.receive() == []
    supervisor.close()
    assert connection.receive() is None
    connection.report(report(0))
    connection.end(WorkerEnd(""))
    with pytest.raises(ChannelClosed):
        worker.receive()


def test_supervisor_that_is_gone_is_noticed_by_sending(ends: tuple[Channel, Channel]) -> None:
    supervisor, worker = ends
    connection = SupervisorChannel(worker)
    supervisor.close()
    connection.report(report(0))
    connection.report(report(1))
