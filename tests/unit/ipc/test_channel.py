from __future__ import annotations

import gc
import os
import socket
import struct

import pytest

from cancorderd.ipc import channel
from cancorderd.ipc.channel import Channel, ChannelBroken, ChannelClosed
from cancorderd.ipc.messages import ClientHandover, Counts, WorkerEnd, WorkerStart
from tests.support.descriptors import free_descriptors

START = WorkerStart('{"name": "body"}', Counts(received=3), 2)
HANDOVER = ClientHandover("127.0.0.1:5000", 1.5, 10, 2, 3)
END = WorkerEnd("unplugged")


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    ours, theirs = channel.pair()
    return ours, Channel(theirs)


def test_messages_payloads_and_sockets_arrive_in_order(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    ours.send(START, sockets=[a, b])
    for number in range(3):
        ours.send(HANDOVER, b"rest%d" % number, [a])
    ours.send(END)
    received = theirs.receive()
    while len(received) < 5:
        received += theirs.receive()
    assert [item.message for item in received] == [START, *[HANDOVER] * 3, END]
    assert [item.payload for item in received] == [b"", b"rest0", b"rest1", b"rest2", b""]
    assert [len(item.descriptors) for item in received] == [2, 1, 1, 1, 0]
    # The copies belong to the same connection.
    copy = socket.socket(fileno=received[1].descriptors[0])
    copy.send(b"hello")
    assert b.recv(5) == b"hello"
    for descriptor in [*received[0].descriptors, *received[2].descriptors, *received[3].descriptors]:
        socket.close(descriptor)
    for sock in (a, b, copy, ours, theirs):
        sock.close()


def test_large_payload_waits_for_the_reader_and_arrives_whole(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    payload = bytes(range(256)) * 20_000
    ours.send(HANDOVER, payload)
    assert ours.backlog
    received: list[channel.ReceivedMessage] = []
    while not received:
        ours.flush()
        received = theirs.receive()
    assert received[0].payload == payload
    assert not ours.backlog
    ours.close()
    theirs.close()


def test_receive_raises_after_the_last_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert theirs.receive() == []
    ours.send(END)
    ours.close()
    assert [item.message for item in theirs.receive()] == [END]
    with pytest.raises(ChannelClosed):
        theirs.receive()
    with pytest.raises(ChannelClosed):
        theirs.send(END)
    theirs.close()


def test_neither_a_channel_nor_its_sockets_are_inherited(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    inherited, other = socket.socketpair()
    inherited.set_inheritable(True)
    again = Channel(inherited)
    ours.send(HANDOVER, b"", [a])
    ((_, _, (descriptor,)),) = theirs.receive()
    assert not any(map(os.get_inheritable, (descriptor, ours.fileno(), theirs.fileno(), again.fileno())))
    os.close(descriptor)
    for end in (ours, theirs, again, other, a, b):
        end.close()


@pytest.mark.parametrize("free", [0, 1])
def test_descriptors_that_are_lost_end_the_channel(ends: tuple[Channel, Channel], free: int) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    gc.collect()  # descriptors that earlier tests have left
    before = len(os.listdir("/dev/fd"))
    ours.send(START, b"", [a, b])
    ours.send(HANDOVER, b"", [a])
    with free_descriptors(free), pytest.raises(ChannelBroken, match="Raise the limit of open files"):
        theirs.receive()
    theirs.close()
    assert len(os.listdir("/dev/fd")) == before - 1, "those that arrived are closed"
    for end in (ours, a, b):
        end.close()


def test_sockets_are_passed_on_without_a_free_descriptor(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    with free_descriptors(0):
        ours.send(HANDOVER, bytes(5_000_000), [a])
        ours.send(HANDOVER, b"next", [a])
    received: list[channel.ReceivedMessage] = []
    while len(received) < 2:
        ours.flush()
        received += theirs.receive()
    assert [len(item.descriptors) for item in received] == [1, 1]
    for item in received:
        os.close(item.descriptors[0])
    for end in (ours, theirs, a, b):
        end.close()


def test_a_socket_that_was_closed_too_early_is_never_taken_for_another(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    ours.send(HANDOVER, bytes(5_000_000))
    ours.send(HANDOVER, b"", [a])
    a.close()
    theirs.receive()
    with pytest.raises(ChannelBroken, match="closed before it was passed on"):
        while ours.backlog:
            ours.flush()
            theirs.receive()
    for end in (ours, theirs, b):
        end.close()


HEADER = struct.Struct(">IIB")


@pytest.mark.parametrize(
    "data",
    [
        b"printf of a driver",
        HEADER.pack(3, 0, 0) + b"{1}",
        HEADER.pack(2, 0, 0) + b"{}",
        HEADER.pack(11, 0, 0) + b'["Unknown"]',
        HEADER.pack(17, 0, 0) + b'["Notice","info"]',
        HEADER.pack(2000, 0, 0) + 1000 * b"[" + 1000 * b"]",
        HEADER.pack(0xFFFFFFFF, 0, 0),
        HEADER.pack(2, 0xFFFFFFFF, 0),
        HEADER.pack(20, 0, 1) + b'["WorkerEnd","reason"]',
    ],
    ids=[
        "text", "no JSON", "no list", "no kind", "no field", "nested", "endless", "endless payload", "no descriptor"
    ],
)  # fmt: skip
def test_what_is_no_message_ends_the_channel(ends: tuple[Channel, Channel], data: bytes) -> None:
    ours, theirs = ends
    sock = socket.socket(fileno=os.dup(ours.fileno()))
    sock.sendall(data)
    with pytest.raises(ChannelBroken, match="cannot be read: it begins with"):
        theirs.receive()
    for end in (ours, theirs, sock):
        end.close()


def test_the_rest_of_a_channel_is_read_without_waiting(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    for _ in range(20):
        ours.send(HANDOVER, b"rest", [a])
    ours.send(END)
    received = theirs.receive_rest()  # the other end is still open
    assert [item.message for item in received] == [HANDOVER] * 20 + [END]
    assert theirs.receive_rest() == []
    ours.close()
    assert theirs.receive_rest() == []
    for item in received[:20]:
        os.close(item.descriptors[0])
    for end in (theirs, a, b):
        end.close()
