"""Multicast DNS as a hostile or broken neighbour sends it. Records are written byte by byte: libraries refuse them."""

from __future__ import annotations

import random
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUP, PORT = "224.0.0.251", 5353
A, PTR, TXT, AAAA, SRV = 1, 12, 16, 28, 33
IN, FLUSH = 1, 0x8000
TYPE = (b"_ecuconnect-log", b"_tcp", b"local")
HOSTILE = b"\x1b[2J\x1b]0;owned\x07\r\n\x00\xc2\x9b31m\xe2\x80\xae\xff\xfe"
"""Sequences that clear a screen, set its title, end a line, turn text around, and are no UTF-8."""


def labels(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def record(name: bytes, kind: int, data: bytes, *, ttl: int = 120, flush: bool = True) -> bytes:
    return name + struct.pack(">HHIH", kind, IN | (FLUSH if flush else 0), ttl, len(data)) + data


def response(records: Iterable[bytes]) -> bytes:
    listed = list(records)
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(listed), 0, 0) + b"".join(listed)


def logger(
    instance: bytes,
    *,
    host: tuple[bytes, ...] = (b"neighbour", b"local"),
    port: int = 1,
    text: bytes = b"\0",
    address: bytes = b"\x7f\0\0\x01",
) -> bytes:
    """Return the packet that announces a logger."""
    name = labels(instance, *TYPE)
    return response(
        [
            record(labels(*TYPE), PTR, name, ttl=4500, flush=False),
            record(name, SRV, struct.pack(">HHH", 0, 0, port) + labels(*host)),
            record(name, TXT, text),
            record(labels(*host), A, address),
        ]
    )


def strings(*items: bytes) -> bytes:
    return b"".join(bytes([len(item)]) + item for item in items)


def packets() -> Iterator[bytes]:
    """Yield records that are hostile, each in another place."""
    yield logger(b"ECUconnect-Logger " + HOSTILE)
    yield logger(b"ECUconnect-Logger \x1b[2J")
    yield logger("ECUconnect-Logger C1 \x9b2J \u202e".encode())
    yield logger(b"ECUconnect-Logger \xff\xfe")
    yield logger(b"ECUconnect-Logger host", host=(HOSTILE, b"local"))
    yield logger(b"ECUconnect-Logger no host", host=())
    yield logger(b"ECUconnect-Logger dots", host=(b"a.b..", b"local"))
    yield logger(b"ECUconnect-Logger text", text=strings(b"bus=" + HOSTILE, HOSTILE, b"=", b"x", b"bitrate"))
    yield logger(b"ECUconnect-Logger cut text", text=b"\xffabc")
    yield logger(b"ECUconnect-Logger no text", text=b"")
    yield logger(b"ECUconnect-Logger long text", text=strings(*[b"k%d=" % n + b"v" * 240 for n in range(20)]))
    yield logger(b"ECUconnect-Logger port 0", port=0)
    yield logger(b"ECUconnect-Logger cut address", address=b"\x7f")
    yield logger(b"ECUconnect-Logger any address", address=b"\0\0\0\0")
    yield logger(b"ECUconnect-Logger multicast", address=b"\xe0\0\0\xfb")
    yield logger(b"")
    yield logger(b"." * 63)
    yield logger(b"x" * 63)
    yield response([record(labels(*TYPE), PTR, labels(*TYPE))])
    yield response([record(labels(*TYPE), PTR, labels(b"a", b"_other", b"_tcp", b"local"))])
    yield response([record(labels(*TYPE), PTR, b"\xc0\x0c")])  # a name that points to itself
    yield response([record(labels(*TYPE), PTR, b"\xc0\xff")])
    yield response([record(labels(*TYPE), PTR, labels(*[b"a" * 60] * 4, *TYPE))])
    yield response([record(labels(*TYPE), SRV, b"")])
    yield response(
        [record(labels(b"many", b"local"), A, bytes([10, 0, n // 250, n % 250])) for n in range(200)]
    )
    for number in range(60):  # names alone: their addresses never come
        yield response(
            [record(labels(*TYPE), PTR, labels(b"ECUconnect-Logger mute %d" % number, *TYPE), flush=False)]
        )


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield such packets with bytes changed, cut and doubled."""
    chance = random.Random(seed)
    originals = list(packets())
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        yield bytes(data[: chance.randrange(1, len(data) + 1)] if chance.random() < 0.3 else data)
        yield chance.randbytes(chance.randrange(1, 200))


def send(found: Iterable[bytes]) -> None:
    """Send packets to everybody on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.bind(("127.0.0.1", PORT))
        for packet in found:
            sock.sendto(packet, (GROUP, PORT))
