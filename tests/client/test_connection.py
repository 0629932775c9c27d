"""How a stream begins, waits and ends, against a server of a few lines that ends it in every way."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd import client
from cancorderd.client import ConnectFailed, Connection, StreamCut, StreamEnded, WireError
from cancorderd.client.connection import connect_any
from cancorderd.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.wire import encode, encode_all
from tests.harness import PATIENCE_S, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = [Frame(1_700_000_000_000_000 + at, 0x100 + at, 0, bytes([at])) for at in range(3)]


class Server:
    """Takes one client; the test says what it gets."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self._listener = socket.socket(family)
        self._listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self.peer: socket.socket

    def accept(self) -> None:
        self.peer, _ = self._listener.accept()

    def send(self, data: bytes) -> None:
        self.peer.sendall(data)

    def end(self) -> None:
        self.peer.close()

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def close(self) -> None:
        self._listener.close()
        self.peer.close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with client.connect("127.0.0.1", server.port) as one:
        server.accept()
        yield one


def test_iteration_ends_where_the_server_ends_the_stream(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES))
    server.end()
    assert list(connection) == FRAMES
    with pytest.raises(StreamEnded, match=f"^127.0.0.1:{server.port}: the server ended the stream"):
        connection.receive()
    assert list(connection) == []


def test_a_stream_that_ends_within_a_packet_is_cut(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES) + encode(FRAMES[0])[:-1])
    server.end()
    received: list[Frame] = []
    with pytest.raises(StreamCut, match="within a packet"):
        received += connection  # what came before is not lost
    assert received == FRAMES
    with pytest.raises(StreamCut):
        connection.receive(0)


def test_a_reset_is_no_end(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES))
    assert [connection.receive() for _ in FRAMES] == FRAMES
    server.reset()
    with pytest.raises(StreamCut, match=r"the connection broke \(Connection reset by peer\)"):
        next(connection)


def test_another_protocol_is_refused_after_the_frames_before_it(
    server: Server, connection: Connection
) -> None:
    server.send(encode_all(FRAMES) + b"SSH-2.0-OpenSSH_9.2p1\r\n")
    assert [connection.receive(PATIENCE_S) for _ in FRAMES] == FRAMES
    for _ in range(2):
        with pytest.raises(WireError):
            connection.receive(PATIENCE_S)


def test_receive_waits_as_long_as_it_is_told(server: Server, connection: Connection) -> None:
    assert connection.receive(0) is None
    began = time.monotonic()
    assert connection.receive(0.2) is None
    assert 0.2 <= time.monotonic() - began < 5
    server.send(encode(FRAMES[0])[:-1])
    assert connection.receive(0.05) is None
    server.send(encode(FRAMES[0])[-1:])
    assert connection.receive(PATIENCE_S) == FRAMES[0]


def test_a_selector_tells_when_frames_can_be_taken(server: Server, connection: Connection) -> None:
    assert connection.receive_available() == []
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        server.send(encode_all(FRAMES))
        received: list[Frame] = []
        while len(received) < len(FRAMES):
            assert selector.select(PATIENCE_S)
            received += connection.receive_available()
        assert received == FRAMES
        assert selector.select(0) == []
        server.end()
        assert selector.select(PATIENCE_S)
        with pytest.raises(StreamEnded):
            connection.receive_available()


def test_close_ends_a_call_that_waits_in_another_thread(server: Server, connection: Connection) -> None:
    received: list[Frame] = []
    reader = threading.Thread(target=lambda: received.extend(connection))
    reader.start()
    connection.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    connection.close()
    with pytest.raises(StreamEnded, match="is closed"):
        connection.receive()


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(ConnectFailed, match=rf"^127.0.0.1:{port}: nothing listens there. Start the bus"):
        client.connect("127.0.0.1", port)
    with pytest.raises(OSError, match=rf"^\[::1\]:{port}: "):
        client.connect("::1", port)


def test_a_host_without_address() -> None:
    for name in ("no-such-host.invalid", "a..b", "x" * 64):
        with pytest.raises(ConnectFailed, match=f"^{name}:1: "):
            client.connect(name, 1)


def test_a_server_that_does_not_answer_costs_no_more_than_the_time_given() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for _ in range(3):  # as many as the kernel lets wait; it leaves further ones without an answer
            early = waiting.enter_context(socket.socket())
            early.setblocking(False)
            early.connect_ex(address)
        began = time.monotonic()
        with pytest.raises(
            ConnectFailed, match=r"no answer\. Check the address, the network and the firewall"
        ):
            connect_any(["127.0.0.1"] * 3, address[1], "three", timeout_s=0.6)
        assert 0.5 < time.monotonic() - began < 5


def test_addresses_are_tried_in_turn() -> None:
    server = Server(socket.AF_INET6)
    with connect_any(["nothing.invalid", "127.0.0.1", "::1"], server.port, "x", timeout_s=5) as one:
        server.accept()
        assert one.peer == ("::1", server.port)
    server.close()


@pytest.mark.parametrize("flags", [0, EXTENDED, FD, FD | BRS, FD | ESI, EXTENDED | FD | BRS | ESI])
def test_a_frame_tells_its_flags_by_name(flags: int) -> None:
    frame = Frame(1_700_000_000_250_000, 0x123, flags)
    named = (frame.is_extended, frame.is_fd, frame.bitrate_switch, frame.error_state_indicator)
    assert named == tuple(bool(flags & one) for one in (EXTENDED, FD, BRS, ESI))
    assert frame.timestamp_s == 1_700_000_000.25
