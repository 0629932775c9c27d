"""Headers of the messages at the hub: how a consumer accounts for every frame. Pure.

    Cancorder-Batch: 3f2a9c0d51e8b746.1042     spool id and number of the batch
    Cancorder-Frames: 91 94743                 frames in this body, and frames of this bus in batches before it
    Cancorder-Time: 1764150000000000 1764150000010050     first and last time stamp in this body, in µs
    Cancorder-Lost: kernel=0 adapter=0 unknown=0 feed=0 spool=0
    Cancorder-Epoch: 0
    Cancorder-Encoding: zlib                   only if the body is compressed

**Batch.** Each start of a forwarder makes a spool id of 16 hexadecimal digits. Its batches, those of all buses together,
count from 1; within a stream they come in this order. After an outage a batch may be there twice: drop every batch
whose number is not above the last one of its spool id. Batches of an earlier spool id that were left on disk come
before those of a later one.

**Frames.** The second number counts the frames of this bus in all earlier batches of this spool id, whether or not
they are at the hub: with the message before it, of the same bus and spool id, `before - (its before + its frames)`
frames are missing here.

**Lost** counts frames of this bus since the spool id was made, by place:

- `kernel`, `adapter`: the gateway never read them (receive buffer full; overrun in the adapter);
- `unknown`: a worker or a forwarder that was killed had them (as far as is known, at most);
- `feed`: the forwarder did not take them from the worker in time;
- `spool`: the spool was full or damaged. Only these frames had been in batches; those of an earlier spool id of which
  nothing follows any more are among them.

Missing frames (see above) that the growth of `spool` does not explain were lost at the hub: its retention passed, or
the stream was deleted or purged (`retention_loss`).

**Epoch** counts how often this forwarder found its stream emptied: purged, deleted and made again, or an older copy.
Then it sends again whatever it still has, and goes on.

Body: whole packets back to back (`protocol.packets`), at most `MAX_BODY` bytes before compression.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BATCH = "Cancorder-Batch"
FRAMES = "Cancorder-Frames"
TIME = "Cancorder-Time"
LOST = "Cancorder-Lost"
EPOCH = "Cancorder-Epoch"
ENCODING = "Cancorder-Encoding"
ZLIB = "zlib"
MAX_BODY = 64_000
"""Bytes of packets in a body: at most 64 kB, far below the usual `max_payload` of 1 MiB."""
HEADER_ROOM = 600
"""Bytes of a message beside its body, at most: these headers and those that guard it, with their longest values."""
LEAST_MESSAGE = 1024
"""The smallest `max_payload` with which frames can be forwarded: room for headers and some packets."""

_SPOOL_ID = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"[0-9]{1,20}")
"""ASCII digits only; `int` accepts more."""


class HeaderError(ValueError):
    """Headers that no forwarder writes. `str()` is the fact."""


class BatchId(NamedTuple):
    """Identity of a batch; batches of one spool id are in the order of their numbers."""

    spool: str
    number: int

    def __str__(self) -> str:
        return f"{self.spool}.{self.number}"


class Losses(NamedTuple):
    """Frames of a bus that were lost since the spool id was made, by place."""

    kernel: int = 0
    adapter: int = 0
    unknown: int = 0
    feed: int = 0
    spool: int = 0

    @property
    def total(self) -> int:
        return sum(self)

    def plus(self, other: Losses) -> Losses:
        return Losses(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Losses) -> Losses:
        return Losses(*(a - b for a, b in zip(self, other, strict=True)))


_LOSSES = " ".join(f"{place}={{}}" for place in Losses._fields)


class BatchHead(NamedTuple):
    """The headers of a message, as values."""

    batch: BatchId
    frames: int
    """Frames in this body."""
    before: int
    """Frames of this bus in earlier batches of this spool id."""
    first_us: int
    last_us: int
    lost: Losses = Losses()
    epoch: int = 0
    compressed: bool = False


def encode(head: BatchHead) -> dict[str, str]:
    """Return the headers of a message."""
    headers = {
        BATCH: str(head.batch),
        FRAMES: f"{head.frames} {head.before}",
        TIME: f"{head.first_us} {head.last_us}",
        LOST: _LOSSES.format(*head.lost),
        EPOCH: str(head.epoch),
    }
    if head.compressed:
        headers[ENCODING] = ZLIB
    return headers


def parse(headers: Mapping[str, str] | None) -> BatchHead:
    """Return what `encode` was given. Raises HeaderError.

    Header names may be written in any case; unknown headers and unknown places of loss are passed over.
    """
    found = {name.lower(): value.strip() for name, value in (headers or {}).items()}
    frames, before = _numbers(found, FRAMES, 2)
    first_us, last_us = _numbers(found, TIME, 2)
    (epoch,) = _numbers(found, EPOCH, 1) if EPOCH.lower() in found else (0,)
    encoding = found.get(ENCODING.lower(), "")
    if encoding not in ("", ZLIB):
        raise HeaderError(f"{ENCODING} is {encoding[:40]!r}, which this version cannot read")
    batch = parse_batch_id(_value(found, BATCH))
    return BatchHead(
        batch, frames, before, first_us, last_us, _losses(_value(found, LOST)), epoch, bool(encoding)
    )


def parse_batch_id(text: str) -> BatchId:
    """Return the identity that `Cancorder-Batch` holds. Raises HeaderError."""
    spool, _, number = text.partition(".")
    if not _SPOOL_ID.fullmatch(spool) or not _NUMBER.fullmatch(number):
        raise HeaderError(f"{BATCH} is {text[:60]!r}, not <16 hexadecimal digits>.<number>")
    return BatchId(spool, int(number))


def is_repeated(batch: BatchId, last: BatchId | None) -> bool:
    """Whether a consumer has a batch already; `last` is the last one that it took of this stream."""
    return last is not None and batch.spool == last.spool and batch.number <= last.number


def retention_loss(head: BatchHead, last: BatchHead | None) -> int:
    """Return the frames that the hub lost between two messages of a bus; `last` is the one before `head`.

    0 if they have different spool ids, or there is none before: then nothing is known.
    """
    if last is None or head.batch.spool != last.batch.spool:
        return 0
    missing = head.before - last.before - last.frames
    return max(0, missing - (head.lost.spool - last.lost.spool))


def _value(found: Mapping[str, str], name: str) -> str:
    value = found.get(name.lower())
    if value is None:
        raise HeaderError(f"{name} is missing")
    return value


def _numbers(found: Mapping[str, str], name: str, count: int) -> list[int]:
    text = _value(found, name)
    numbers = text.split()
    if len(numbers) != count or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise HeaderError(f"{name} is {text[:60]!r}, not {count} numbers")
    return [int(number) for number in numbers]


def _losses(text: str) -> Losses:
    counts = {}
    for item in text.split():
        place, separator, number = item.partition("=")
        if not separator or not _NUMBER.fullmatch(number):
            raise HeaderError(f"{LOST} holds {item[:40]!r}, not PLACE=NUMBER")
        if place in Losses._fields:
            counts[place] = int(number)
    return Losses(**counts)
