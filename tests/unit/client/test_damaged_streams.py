"""Odd packets and lost borders: a connection counts the former, and the latter end it in a way that nobody misses."""

from __future__ import annotations

import select
import selectors
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.client import BordersLost, Connection, StreamEnded, WireError
from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.protocol.packets import HEADER, encode, encode_all
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAMES = [Frame(1_700_000_000_000_000 + number, 0x100 + number, 0, bytes([number])) for number in range(3)]
IMPOSSIBLE = HEADER.pack(1, 1, 0, 200)
SKIPPED = HEADER.pack(1, 1, 0x40, 0)


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with Connection(ours, "logger") as connection, theirs:
        yield connection, theirs


def readable(connection: Connection) -> bool:
    """Return whether both ways of waiting find the connection readable."""
    found, _, _ = select.select([connection], [], [], PATIENCE_S)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(found and selector.select(PATIENCE_S))


def test_odd_packets_are_counted_and_the_stream_goes_on(ends: tuple[Connection, socket.socket]) -> None:
    connection, logger = ends
    logger.sendall(encode(FRAMES[0]) + HEADER.pack(9, 0x18DA00F1, 0, 0) + SKIPPED + encode(FRAMES[1]))
    received = [connection.receive(PATIENCE_S) for _ in range(3)]
    assert received == [FRAMES[0], Frame(9, 0x18DA00F1, EXTENDED), FRAMES[1]]
    assert (connection.packets_repaired, connection.packets_skipped) == (1, 1)
    assert connection.first_fault == (
        "logger: arbitration id 0x18DA00F1 is above 0x7FF. Such packets are repaired if their meaning is plain, "
        "else skipped. Correct the logger."
    )


def test_skipped_packets_alone_are_no_frame_and_keep_the_time_limit(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, logger = ends
    logger.sendall(SKIPPED * 1000)
    assert connection.receive(0) is None
    logger.sendall(SKIPPED)
    assert connection.receive_available() == []
    assert connection.packets_skipped > 0


READS: list[Callable[[Connection], object]] = [
    lambda connection: connection.receive(PATIENCE_S),
    lambda connection: connection.receive(0),
    lambda connection: connection.receive_available(),
    lambda connection: next(connection),
]


@pytest.mark.parametrize("read", READS)
def test_connection_with_lost_borders_is_readable_and_each_call_raises(
    ends: tuple[Connection, socket.socket], read: Callable[[Connection], object]
) -> None:
    connection, logger = ends
    logger.sendall(encode_all(FRAMES) + IMPOSSIBLE)
    assert readable(connection)
    assert connection.receive_available() == FRAMES
    for _ in range(2):
        assert readable(connection)
        with pytest.raises(BordersLost, match=r"^logger: length byte is 200.*Connect again\.$"):
            read(connection)


def test_borders_lost_after_earlier_frames(ends: tuple[Connection, socket.socket]) -> None:
    connection, logger = ends
    logger.sendall(encode_all(FRAMES))
    assert [connection.receive(PATIENCE_S) for _ in FRAMES] == FRAMES
    logger.sendall(IMPOSSIBLE)
    with pytest.raises(BordersLost):
        connection.receive(PATIENCE_S)


@pytest.mark.parametrize("first", [IMPOSSIBLE, SKIPPED + IMPOSSIBLE, b"SSH-2.0-OpenSSH_9.2p1\r\n"])
def test_stream_without_any_frame_is_another_protocol(
    ends: tuple[Connection, socket.socket], first: bytes
) -> None:
    connection, logger = ends
    logger.sendall(first)
    with pytest.raises(WireError, match=r"no ECUconnect Logger\. Correct the address") as error:
        connection.receive(PATIENCE_S)
    assert not isinstance(error.value, BordersLost)
    assert readable(connection)


def test_stream_that_was_ended_stays_readable(ends: tuple[Connection, socket.socket]) -> None:
    connection, logger = ends
    logger.close()
    for _ in range(2):
        assert readable(connection)
        with pytest.raises(StreamEnded):
            connection.receive_available()


def test_server_of_a_damaged_stream_is_disconnected(ends: tuple[Connection, socket.socket]) -> None:
    connection, logger = ends
    logger.sendall(encode_all(FRAMES) + IMPOSSIBLE)
    assert connection.receive_available() == FRAMES
    logger.settimeout(PATIENCE_S)
    assert logger.recv(1) == b""
