from __future__ import annotations

import socket

import pytest

from cancorderd import link
from cancorderd.link import Link, LinkClosed
from cancorderd.report import (
    Client,
    ClientReport,
    Counts,
    Ended,
    Message,
    Notice,
    Report,
    Settings,
    from_json,
    section_from_json,
    to_json,
)

MESSAGES: list[Message] = [
    Settings('{"name": "body"}', Counts(received=3), 2),
    Client("127.0.0.1:5000", 1.5, 10, 2, 3),
    Report(
        "running",
        "",
        "error-active",
        Counts(1, 8, 2, 3, 4, 5, 6),
        [ClientReport("[::1]:7", 2.5, 1, 0, 0)],
        {"version": "V1013"},
    ),
    Report("waiting", "no such device", None, Counts(), [], {}),
    Notice("warning", "ümlaut"),
    Ended("unplugged"),
]


@pytest.fixture
def ends() -> tuple[Link, Link]:
    ours, theirs = link.pair()
    return ours, Link(theirs)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_json_keeps_every_field(message: Message) -> None:
    back = from_json(to_json(message))
    assert back == message
    assert type(back) is type(message)


def test_messages_payloads_and_sockets_arrive_in_order(ends: tuple[Link, Link]) -> None:
    ours, theirs = ends
    a, b = socket.socketpair()
    ours.send(MESSAGES[0], descriptors=[a.fileno(), b.fileno()])
    for number in range(3):
        ours.send(MESSAGES[1], b"owed%d" % number, [a.fileno()])
    ours.send(MESSAGES[5])
    received = theirs.receive()
    while len(received) < 5:
        received += theirs.receive()
    assert [one.message for one in received] == [MESSAGES[0], *[MESSAGES[1]] * 3, MESSAGES[5]]
    assert [one.payload for one in received] == [b"", b"owed0", b"owed1", b"owed2", b""]
    assert [len(one.descriptors) for one in received] == [2, 1, 1, 1, 0]
    # The sockets are the same connection: what goes in at one copy comes out at the other end.
    copy = socket.socket(fileno=received[1].descriptors[0])
    copy.send(b"hello")
    assert b.recv(5) == b"hello"
    for one in [*received[0].descriptors, *received[2].descriptors, *received[3].descriptors]:
        socket.close(one)
    for sock in (a, b, copy, ours, theirs):
        sock.close()


def test_large_payload_waits_for_the_reader_and_arrives_whole(ends: tuple[Link, Link]) -> None:
    ours, theirs = ends
    payload = bytes(range(256)) * 20_000
    ours.send(MESSAGES[1], payload)
    assert ours.backlog
    received: list[link.Received] = []
    while not received:
        ours.flush()
        received = theirs.receive()
    assert received[0].payload == payload
    assert not ours.backlog
    ours.close()
    theirs.close()


def test_receive_tells_the_end_after_the_last_message(ends: tuple[Link, Link]) -> None:
    ours, theirs = ends
    assert theirs.receive() == []
    ours.send(MESSAGES[5])
    ours.close()
    assert [one.message for one in theirs.receive()] == [MESSAGES[5]]
    with pytest.raises(LinkClosed):
        theirs.receive()
    with pytest.raises(LinkClosed):
        theirs.send(MESSAGES[5])
    theirs.close()


def test_section_keeps_options_a_dict_and_gives_filters_attributes() -> None:
    section = section_from_json(
        '{"filters": [{"id": 1, "mask": 2, "extended": null}], "options": {"a": {"b": 1}}}'
    )
    assert section.filters[0].mask == 2
    assert section.options == {"a": {"b": 1}}
