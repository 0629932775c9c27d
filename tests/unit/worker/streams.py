"""Sockets and numbered frames for the tests of the worker."""

from __future__ import annotations

import socket

from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import HEADER, PacketDecoder, encode_all
from tests.support.harness import PATIENCE_S

PACKET_BYTES = HEADER.size + 8


def batch(first: int, count: int) -> Batch:
    """Frames that are numbered from `first`, of `PACKET_BYTES` each."""
    frames = [Frame(0, 1, 0, number.to_bytes(8)) for number in range(first, first + count)]
    return Batch(encode_all(frames), count)


def numbers(stream: bytes) -> list[int]:
    """The numbers of the frames in a stream of whole packets."""
    decoder = PacketDecoder()
    decoder.receive(stream)
    found = [int.from_bytes(frame.data) for frame in decoder.frames()]
    assert decoder.pending == 0
    return found


def tcp_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def connect(listener: socket.socket) -> socket.socket:
    """A client with a small receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client.settimeout(PATIENCE_S)
    client.connect(listener.getsockname())
    return client


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """The server's end of a connection, and the client's."""
    with tcp_listener() as listener:
        client = connect(listener)
        server, _ = listener.accept()
    return server, client
