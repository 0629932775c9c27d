"""A staged gateway: publishes numbered frames to a hub as a forwarder does, with losses and repetitions as asked for."""

from __future__ import annotations

import asyncio
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nats.aio.client import Client

from cancorderd.hub import headers, subjects
from cancorderd.hub.headers import BatchHead, BatchId, Losses
from cancorderd.protocol.packets import packet
from tests.support.numbered_frames import ARBITRATION_ID

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nats.js.client import JetStreamContext

T = TypeVar("T")
DEADLINE_S = 60.0


class StagedGateway:
    """A publisher to the stream of one gateway. Its connection lives on an event loop in a thread of its own."""

    def __init__(
        self, url: str, gateway: str = "truck", *, spool: str = "00000000000000a1", **login: Any
    ) -> None:
        """`login` is for nats-py's `connect`."""
        self.gateway = gateway
        self.spool = spool
        self.number = 0
        """Number of the last batch."""
        self.sent: dict[str, int] = {}
        """Frames of each bus so far; the next has this number."""
        self.before: dict[str, int] = {}
        """Frames of each bus in batches of this spool id."""
        self.lost: dict[str, Losses] = {}
        self._url = url
        self._login = login
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._client = Client()

    @property
    def stream(self) -> str:
        return subjects.stream_name(self.gateway)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._client.connect(self._url, allow_reconnect=False, **self._login))
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def reconnect(self) -> None:
        """Connect to a hub that has come back."""
        self._run(self._client.close())
        self._client = Client()
        self._run(self._client.connect(self._url, allow_reconnect=False, **self._login))

    def make_stream(self, **limits: Any) -> None:
        self._run(self._jetstream.add_stream(
            name=self.stream, subjects=[subjects.all_subjects(self.gateway)], allow_direct=True, **limits
        ))  # fmt: skip

    def delete_stream(self) -> None:
        self._run(self._jetstream.delete_stream(self.stream))

    def purge(self) -> None:
        self._run(self._jetstream.purge_stream(self.stream))

    def new_spool(self, spool: str) -> None:
        """Go on as a forwarder that was started again."""
        self.spool, self.number = spool, 0
        self.before.clear()
        self.lost.clear()

    def lose(self, bus: str, **frames: int) -> None:
        """Lose the next frames of a bus, at these places."""
        self.lost[bus] = self.lost.get(bus, Losses()).plus(Losses(**frames))
        self.sent[bus] = self.sent.get(bus, 0) + sum(frames.values())
        self.before[bus] = self.before.get(bus, 0) + frames.get("spool", 0)

    def batch(
        self, bus: str, frames: int, *, stamp_us: int | None = None, compress: bool = False
    ) -> tuple[str, bytes, dict[str, str]]:
        """Return the next batch as subject, body and headers."""
        first = self.sent.get(bus, 0)
        now_us = time.time_ns() // 1000 if stamp_us is None else stamp_us
        body = b"".join(
            packet(now_us + index, ARBITRATION_ID, 0, (first + index).to_bytes(8)) for index in range(frames)
        )
        self.number += 1
        head = BatchHead(
            BatchId(self.spool, self.number), frames, self.before.get(bus, 0), now_us, now_us + max(0, frames - 1),
            self.lost.get(bus, Losses()), 0, compress,
        )  # fmt: skip
        self.sent[bus] = first + frames
        self.before[bus] = self.before.get(bus, 0) + frames
        return (
            subjects.subject(self.gateway, bus),
            zlib.compress(body) if compress else body,
            headers.encode(head),
        )

    def publish(self, message: tuple[str, bytes, dict[str, str]]) -> None:
        """Store a batch at the hub; it may be one that is there already."""
        subject, body, fields = message
        self._run(self._jetstream.publish(subject, body, headers=fields, timeout=DEADLINE_S))

    def send(self, bus: str, frames: int, **keys: Any) -> None:
        """Store the next batch of a bus."""
        self.publish(self.batch(bus, frames, **keys))

    def send_many(self, bus: str, batches: int, frames: int, **keys: Any) -> None:
        """Store many batches, acknowledged together."""
        messages = [self.batch(bus, frames, **keys) for _ in range(batches)]

        async def all_of_them() -> None:
            for begin in range(0, len(messages), 256):
                pending = [
                    await self._jetstream.publish_async(subject, body, headers=fields)
                    for subject, body, fields in messages[begin : begin + 256]
                ]
                await asyncio.gather(*pending)

        self._run(all_of_them())

    @property
    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)
