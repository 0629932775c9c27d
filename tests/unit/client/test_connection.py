"""Connecting, waiting and the ends of a stream, against a server that ends it in every way."""

from __future__ import annotations

import contextlib
import errno
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
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import encode, encode_all
from tests.support.harness import PATIENCE_S, busy_limit_s, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = [Frame(1_700_000_000_000_000 + number, 0x100 + number, 0, bytes([number])) for number in range(3)]


class Server:
    """Server of one client, with a method for each thing that it can do to the stream."""

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


class TimedOutSocket:
    """A socket whose peer has not answered the kernel's keepalive probes."""

    def settimeout(self, _timeout_s: float | None) -> None:
        """Irrelevant here."""

    def recv(self, _size: int) -> bytes:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def wait_readable(connection: Connection) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        assert selector.select(PATIENCE_S)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with client.connect("127.0.0.1", server.port) as connection:
        server.accept()
        yield connection


def test_iteration_ends_when_the_server_ends_the_stream(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES))
    server.end()
    assert list(connection) == FRAMES
    with pytest.raises(StreamEnded, match=f"^127.0.0.1:{server.port}: the server ended the stream"):
        connection.receive()
    assert list(connection) == []


def test_stream_that_ends_within_a_packet_is_cut(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES) + encode(FRAMES[0])[:-1])
    server.end()
    received: list[Frame] = []
    with pytest.raises(StreamCut, match="within a packet"):
        received += connection  # the frames before the end are not lost
    assert received == FRAMES
    with pytest.raises(StreamCut):
        connection.receive(0)


def test_reset_cuts_the_stream(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES))
    assert [connection.receive() for _ in FRAMES] == FRAMES
    server.reset()
    with pytest.raises(StreamCut, match=r"the connection broke \(Connection reset by peer\)"):
        next(connection)


def test_frames_before_an_invalid_packet_are_received(server: Server, connection: Connection) -> None:
    server.send(encode_all(FRAMES) + b"SSH-2.0-OpenSSH_9.2p1\r\n")
    assert [connection.receive(PATIENCE_S) for _ in FRAMES] == FRAMES
    for _ in range(2):
        with pytest.raises(WireError):
            connection.receive(PATIENCE_S)


def test_receive_waits_for_the_given_time(server: Server, connection: Connection) -> None:
    assert connection.receive(0) is None
    began = time.monotonic()
    assert connection.receive(0.2) is None
    assert 0.2 <= time.monotonic() - began < busy_limit_s(5)
    server.send(encode(FRAMES[0])[:-1])
    assert connection.receive(0.05) is None
    server.send(encode(FRAMES[0])[-1:])
    assert connection.receive(PATIENCE_S) == FRAMES[0]


def test_receive_without_waiting_returns_a_frame_that_has_arrived(
    server: Server, connection: Connection
) -> None:
    server.send(encode(FRAMES[0]))
    wait_readable(connection)
    assert connection.receive(0) == FRAMES[0]
    assert connection.receive(0) is None


def test_peer_that_keepalive_finds_dead_cuts_the_stream(
    server: Server, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.send(encode_all(FRAMES))
    assert [connection.receive() for _ in FRAMES] == FRAMES

    with monkeypatch.context() as patched:
        patched.setattr(connection, "_socket", TimedOutSocket())
        with pytest.raises(StreamCut, match=r"the connection broke \(Connection timed out\)"):
            connection.receive(0)


def test_connection_is_readable_when_frames_are_available(server: Server, connection: Connection) -> None:
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


def test_close_ends_a_waiting_call_in_another_thread(server: Server, connection: Connection) -> None:
    received: list[Frame] = []
    reader = threading.Thread(target=lambda: received.extend(connection))
    reader.start()
    connection.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    connection.close()
    with pytest.raises(StreamEnded, match="is closed"):
        connection.receive()


def test_nothing_listens_at_the_port() -> None:
    port = free_port()
    with pytest.raises(ConnectFailed, match=rf"^127.0.0.1:{port}: nothing listens there. Start the bus"):
        client.connect("127.0.0.1", port)
    with pytest.raises(OSError, match=rf"^\[::1\]:{port}: "):
        client.connect("::1", port)


def test_host_without_an_address() -> None:
    for name in ("no-such-host.invalid", "a..b", "x" * 64):
        with pytest.raises(ConnectFailed, match=f"^{name}:1: "):
            client.connect(name, 1)


def test_connecting_to_a_server_that_does_not_answer_ends_in_time() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for _ in range(3):  # fills the queue of the kernel, which does not answer further clients
            early = waiting.enter_context(socket.socket())
            early.setblocking(False)
            early.connect_ex(address)
        began = time.monotonic()
        with pytest.raises(
            ConnectFailed, match=r"no answer\. Check the address, the network and the firewall"
        ):
            connect_any(["127.0.0.1"] * 3, address[1], "three", timeout_s=0.6)
        assert 0.5 < time.monotonic() - began < busy_limit_s(5)


def test_addresses_are_tried_in_turn() -> None:
    server = Server(socket.AF_INET6)
    with connect_any(["nothing.invalid", "127.0.0.1", "::1"], server.port, "x", timeout_s=5) as connection:
        server.accept()
        assert connection.peer == ("::1", server.port)
    server.close()


@pytest.mark.parametrize("flags", [0, EXTENDED, FD, FD | BRS, FD | ESI, EXTENDED | FD | BRS | ESI])
def test_frame_names_its_flags(flags: int) -> None:
    frame = Frame(1_700_000_000_250_000, 0x123, flags)
    named = (frame.is_extended, frame.is_fd, frame.bitrate_switch, frame.error_state_indicator)
    assert named == tuple(bool(flags & flag) for flag in (EXTENDED, FD, BRS, ESI))
    assert frame.timestamp_s == 1_700_000_000.25
