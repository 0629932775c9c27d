"""Messages as forwarders publish them: whole packets of a full bus, and the text around them. Pure."""

from __future__ import annotations

import random
import zlib
from typing import NamedTuple

from cancorderd.protocol.packets import HEADER
from tests.bench.rows import FULL_BUS

_VARIANTS = 16
"""Different bodies of a bus, made once: a hub does not look into them."""
_IDS = 40


class Body(NamedTuple):
    packets: bytes
    """Bytes to send, compressed or not."""
    frames: int
    compressed: bool


class Sender(NamedTuple):
    """A gateway at the hub."""

    gateway: str
    stream: str
    spool: str


def bodies(frames: int, *, compressed: bool) -> list[Body]:
    """Return bodies of so many frames of a full bus: many ids, payloads of which a part changes."""
    chance = random.Random(frames)
    return [_body(frames, chance, compressed=compressed) for _ in range(_VARIANTS)]


def _body(frames: int, chance: random.Random, *, compressed: bool) -> Body:
    stamp_us = 1_764_150_000_000_000
    packets = bytearray()
    for _ in range(frames):
        stamp_us += round(1e6 / FULL_BUS)
        identifier = 0x100 + chance.randrange(_IDS)
        packets += HEADER.pack(stamp_us, identifier, 0, 8)
        packets += identifier.to_bytes(4) + chance.randbytes(3) + b"\0"
    text = bytes(packets)
    return Body(zlib.compress(text, 1) if compressed else text, frames, compressed)


def publication(
    sender: Sender,
    bus: str,
    reply: str,
    body: Body,
    *,
    number: int,
    before: int,
    last_sequence: int,
    now_us: int,
) -> bytes:
    """Return the bytes that a forwarder writes to the connection for a batch; the answer arrives at `reply`.

    The headers are those of `cancorderd.hub.headers`, written at once: a hub shares the machine with these gateways.
    """
    encoding = "Cancorder-Encoding: zlib\r\n" if body.compressed else ""
    block = (
        f"NATS/1.0\r\nCancorder-Batch: {sender.spool}.{number}\r\nCancorder-Frames: {body.frames} {before}\r\n"
        f"Cancorder-Time: {now_us} {now_us}\r\nCancorder-Lost: kernel=0 adapter=0 unknown=0 feed=0 spool=0\r\n"
        f"Cancorder-Epoch: 0\r\n{encoding}Nats-Expected-Stream: {sender.stream}\r\n"
        f"Nats-Expected-Last-Sequence: {last_sequence}\r\n\r\n"
    )
    size = len(block) + len(body.packets)
    line = f"HPUB can.{sender.gateway}.{bus} {reply} {len(block)} {size}\r\n"
    return b"".join((line.encode(), block.encode(), body.packets, b"\r\n"))
