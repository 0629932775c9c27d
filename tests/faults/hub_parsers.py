"""Damaged input from the hub, from the forwarder's disk, and from the workers that feed it; see `parsers`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cancorderd.adapters.nats import position
from cancorderd.adapters.nats.account import Account
from cancorderd.adapters.nats.bodies import BodyDecoder, BodyError
from cancorderd.adapters.nats.moments import MomentError, span_of
from cancorderd.forwarder.disk_spool import DiskSpool
from cancorderd.forwarder.entry import Damage, Entry, read_records
from cancorderd.forwarder.feed_cut import FeedCutter
from cancorderd.forwarder.window import Window
from cancorderd.hub import direct_get, headers, jetstream
from cancorderd.hub.answer_sieve import AnswerSieve
from cancorderd.hub.failures import HubError
from tests.support.strict_packets import strict_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from cancorderd.hub.connection import HubConnection

_STREAM = "CAN"
_SPOOL_LIMIT = 1 << 20
_ENTRY = Entry(1, "a", headers.BatchHead(headers.BatchId("0123456789abcdef", 1), 1, 0, 0, 0), b"", 0.0)


class _Answer:
    """A message as nats-py returns it."""

    def __init__(self, text: Mapping[str, str], data: bytes) -> None:
        self.headers = text
        self.data = data


class _Hub:
    """A connection on which each request has the same answer at once."""

    server = "nats://hub:4222"

    def __init__(self, answer: _Answer) -> None:
        self._answer = answer

    async def request(self, _subject: str, _payload: bytes, *, within_s: float) -> _Answer:
        assert within_s > 0
        return self._answer


async def _call_all(hub: HubConnection) -> None:
    """Make each kind of request. Raises what is no HubError."""
    calls: tuple[Callable[[], Coroutine[Any, Any, object]], ...] = (
        lambda: jetstream.account_info(hub),
        lambda: jetstream.stream_names(hub),
        lambda: jetstream.stream_info(hub, _STREAM),
        lambda: jetstream.purge_stream(hub, _STREAM),
        lambda: jetstream.last_message(hub, _STREAM, "can.>"),
        lambda: direct_get.last_direct(hub, _STREAM, "can.>"),
    )
    for call in calls:
        try:
            await call()
        except HubError as error:
            assert str(error).isprintable(), "an unprintable error"


def hub_answers(data: bytes) -> None:
    """Headers and body of whatever answers a request to JetStream."""
    block, _, body = data.partition(b"\r\n\r\n")
    hub = cast("HubConnection", _Hub(_Answer(jetstream.headers_of(block), body)))
    asyncio.run(_call_all(hub))
    window = Window(1, 0.0)
    window.publish(_ENTRY, 0.0)
    window.answer(1, body, jetstream.headers_of(block).get("Status"), 1.0)
    jetstream.server_version(body.decode(errors="replace"))


def hub_stream(data: bytes) -> None:
    """The bytes of a connection to the hub, which arrive in pieces."""
    sieve, passed, answers = AnswerSieve(), 0, 0
    for start in range(0, len(data), 100):
        found, others = sieve.sift(data[start : start + 100])
        answers += sum(len(answer.body) for answer in found)
        passed += len(others)
        assert passed + answers <= start + 100, "more than there is"
        window = Window(1, 0.0)
        window.publish(_ENTRY, 0.0)
        for answer in found:
            window.answer(answer.number, answer.body, answer.status, 1.0)


def hub_messages(data: bytes) -> None:
    """For each message of a bus its headers and its body, behind the length of both."""
    account, decoder = Account(), BodyDecoder(lambda _arbitration_id, _extended: True)
    while data:
        size = int.from_bytes(data[:2])
        block, _, body = data[2 : 2 + size].partition(b"\r\n\r\n")
        data = data[2 + size :]
        try:
            head = headers.parse(jetstream.headers_of(block))
        except headers.HeaderError as error:
            assert str(error).isprintable(), "an unprintable error"
            continue
        if account.take(head):
            assert min(account.lost.by_header) >= 0 <= account.lost.retention, "a negative loss"
        try:
            strict_frames(decoder.decode(body, head))
        except BodyError as error:
            assert str(error).isprintable(), "an unprintable error"
        of = position.Position("now", 1, head)
        assert position.from_text(position.to_text(of, "bus"), "bus") == of._replace(
            head=head._replace(compressed=False)
        )


def hub_texts(data: bytes) -> None:
    """A position that was kept, or a moment that a user wrote."""
    text = data.decode(errors="replace")
    position.from_text(text, "bus")
    first, _, second = text.partition("\n")
    for span in ((text, None), (first, second)):
        try:
            span_of(*span)
        except MomentError as error:
            assert str(error)


def spool_segment(data: bytes) -> None:
    """A segment of the spool."""
    at = 0
    for item, end in read_records(data):
        assert end > at, "no progress"
        if isinstance(item, Damage):
            assert (item.start, item.start + item.size) == (at, end), "damage at another place"
        at = end
    assert at == len(data), "the rest is not read"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{1:012}.batches").write_bytes(data)
        spool = DiskSpool(folder, _SPOOL_LIMIT)
        spool.begin()
        for segment in filter(None, map(spool.scan, spool.left)):
            loaded, size = 0, segment.size
            while segment.offset < size:
                entries, end = spool.load(segment, size)
                assert end > segment.offset, "no progress"
                segment.offset = end
                loaded += len(entries)
            assert loaded, "a segment is kept of which nothing can be read"


def spool_ids(data: bytes) -> None:
    """The list of spool ids."""
    own = "0123456789abcdef"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "spool-ids").write_bytes(data)
        known = DiskSpool(folder, _SPOOL_LIMIT).spool_ids(own)
        assert known[-1] == own
        assert all(headers.parse_batch_id(f"{spool}.1") for spool in known), "an impossible spool id"


def feed(data: bytes) -> None:
    """The stream of a worker to the forwarder, which takes it in pieces."""
    cutter, waiting = FeedCutter(), b""
    for start in range(0, len(data), 1000):
        waiting += data[start : start + 1000]
        cut = cutter.cut(waiting)
        assert len(cut.body) <= cut.size <= len(waiting), "more than there is"
        waiting = waiting[cut.size :]
        assert len(waiting) < 300, "whole packets wait"
    assert cutter.lost >= 0
