"""A consumer at the hub: every batch of a stream, each once, and the account of every frame of numbered buses."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from cancorderd.hub import direct_get, headers, jetstream
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import open_connection
from cancorderd.hub.subjects import all_subjects, parsed_subject, stream_name
from cancorderd.protocol.packets import PacketDecoder
from tests.support.numbered_frames import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.jetstream import StoredMessage

T = TypeVar("T")


@dataclass
class BusAccount:
    """What a consumer has of one bus."""

    numbers: list[int] = field(default_factory=list)
    """Numbers in the payloads, in the order of the stream."""
    repeated: int = 0
    """Batches that it had already."""
    retention: int = 0
    """Frames that were lost at the hub."""
    spools: dict[str, headers.Losses] = field(default_factory=dict)
    """Last losses by spool id."""
    epochs: set[int] = field(default_factory=set)

    @property
    def lost(self) -> headers.Losses:
        total = headers.Losses()
        for lost in self.spools.values():
            total = total.plus(lost)
        return total

    @property
    def missing(self) -> int:
        """Numbers that are not there, between the first, 0, and the last."""
        return self.numbers[-1] + 1 - len(set(self.numbers)) if self.numbers else 0

    def assert_in_order(self) -> None:
        """Assert that no frame is there twice or too late."""
        assert self.numbers, "no frame"
        wrong = [
            (before, after)
            for before, after in zip(self.numbers, self.numbers[1:], strict=False)
            if after <= before
        ]
        assert not wrong, wrong[:3]

    def assert_complete(self) -> None:
        """Assert that every frame from 0 on is there, once and in order."""
        self.assert_in_order()
        assert self.missing == 0, (
            f"{self.missing} frames are missing; counted: {self.lost}, {self.retention} at the hub"
        )


def account(messages: list[StoredMessage]) -> dict[str, BusAccount]:
    """Return the account of each bus, from all messages of a stream in their order."""
    accounts: dict[str, BusAccount] = {}
    last: headers.BatchId | None = None
    last_heads: dict[str, headers.BatchHead] = {}
    for message in messages:
        parsed = parsed_subject(message.subject)
        assert parsed, message.subject
        bus = accounts.setdefault(parsed[1], BusAccount())
        head = headers.parse(message.headers)
        if headers.is_repeated(head.batch, last):
            bus.repeated += 1
            continue
        last = head.batch
        bus.retention += headers.retention_loss(head, last_heads.get(parsed[1]))
        last_heads[parsed[1]] = head
        bus.spools[head.batch.spool] = head.lost
        bus.epochs.add(head.epoch)
        body = zlib.decompress(message.body) if head.compressed else message.body
        decoder = PacketDecoder()
        decoder.receive(body)
        frames = list(decoder.frames())
        assert (len(frames), decoder.pending) == (head.frames, 0), head
        if frames:
            assert (frames[0].timestamp_us, frames[-1].timestamp_us) == (head.first_us, head.last_us)
        bus.numbers += numbers(frames)
    return accounts


class Hub:
    """A stream at a hub, as a test sees it."""

    def __init__(self, url: str, gateway: str, access: HubAccess | None = None) -> None:
        """`access` is that of an administrator, if the hub has users."""
        self.url = url
        self._access = access or HubAccess((url,))
        self.gateway = gateway

    def make_stream(self, **limits: object) -> None:
        config = {
            "name": stream_name(self.gateway), "subjects": [all_subjects(self.gateway)], "allow_direct": True,
            "retention": "limits", "storage": "file", "num_replicas": 1, **limits,
        }  # fmt: skip
        self._call(lambda connection: jetstream.create_stream(connection, config))

    def delete_stream(self) -> None:
        self._call(lambda connection: jetstream.delete_stream(connection, stream_name(self.gateway)))

    def purge(self) -> None:
        self._call(lambda connection: jetstream.purge_stream(connection, stream_name(self.gateway)))

    def publish(self, bus: str, head: headers.BatchHead, body: bytes) -> None:
        """Publish as another gateway of this name would."""

        async def publish(connection: HubConnection) -> None:
            subject = f"can.{self.gateway}.{bus}"
            await connection.client.request(subject, body, timeout=10.0, headers=headers.encode(head))

        self._call(publish)

    def last_sequence(self) -> int:
        async def read(connection: HubConnection) -> int:
            return (await jetstream.stream_info(connection, stream_name(self.gateway))).state.last_sequence

        return self._call(read)

    def messages(self) -> list[StoredMessage]:
        async def read(connection: HubConnection) -> list[StoredMessage]:
            stream, subjects = stream_name(self.gateway), all_subjects(self.gateway)
            found: list[StoredMessage] = []
            while True:
                sequence = found[-1].sequence + 1 if found else 1
                batch = await direct_get.read_batch(connection, stream, subjects, sequence=sequence)
                found += batch.messages
                if not batch.pending:
                    return found

        return self._call(read)

    def accounts(self) -> dict[str, BusAccount]:
        return account(self.messages())

    def _call(self, action: Callable[[HubConnection], Coroutine[Any, Any, T]]) -> T:
        async def live() -> T:
            connection = await open_connection(self._access, "test")
            try:
                return await action(connection)
            finally:
                await connection.close()

        return asyncio.run(live())
