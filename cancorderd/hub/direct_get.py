"""Messages read by JetStream's DIRECT.GET, as viewers may: one, or a batch of them. Each call raises HubError, whatever answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from cancorderd.hub.connection import ANSWER_WITHIN_S
from cancorderd.hub.failures import ApiError, HubError, NoAnswer, NoJetStream, StreamMissing
from cancorderd.hub.jetstream import (
    API,
    NO_STREAM,
    StoredBatch,
    StoredMessage,
    hub_init,
    time_us,
    understood,
)
from cancorderd.hub.subjects import gateway_of_stream
from cancorderd.printable import printable

if TYPE_CHECKING:
    from datetime import datetime

    from nats.aio.msg import Msg

    from cancorderd.hub.connection import HubConnection


async def last_direct(
    connection: HubConnection, stream: str, subject: str, *, within_s: float = ANSWER_WITHIN_S
) -> StoredMessage | None:
    """Return the last message of a subject from any server that has the stream, as viewers may."""
    request = json.dumps({"last_by_subj": subject}).encode()
    try:
        answer = await connection.request(f"{API}.DIRECT.GET.{stream}", request, within_s=within_s)
    except NoJetStream as error:
        raise _unreadable(connection, stream) from error
    if (answer.headers or {}).get("Status") == "404":
        return None
    with understood(connection, f"{API}.DIRECT.GET.{stream}"):
        return _direct(answer)


async def read_batch(
    connection: HubConnection,
    stream: str,
    subject: str,
    *,
    sequence: int | None = None,
    start: datetime | None = None,
    batch: int = 256,
    max_bytes: int = 1 << 20,
    within_s: float = ANSWER_WITHIN_S,
) -> StoredBatch:
    """Return messages of a subject from `sequence` or `start` on, from any server that has the stream.

    It may lack the newest messages if the stream has replicas. Raises StreamMissing if no server answers.
    """
    request: dict[str, Any] = {"batch": batch, "max_bytes": max_bytes, "next_by_subj": subject}
    if start is not None:
        request["start_time"] = start.isoformat()
    else:
        request["seq"] = max(1, sequence or 1)
    inbox = connection.client.new_inbox()
    target = f"{API}.DIRECT.GET.{stream}"
    arriving = _Arriving(connection, stream)
    with connection.in_use():
        subscription = await connection.client.subscribe(
            inbox, cb=arriving.take, pending_msgs_limit=batch + 16, pending_bytes_limit=0
        )
    try:
        with connection.in_use():
            await connection.client.publish(target, json.dumps(request).encode(), reply=inbox)
        while True:
            before = len(arriving.messages)
            try:
                found = await connection.answer(target, arriving.wait(), within_s)
            except NoAnswer:
                if len(arriving.messages) == before:
                    raise
                continue
            if isinstance(found, HubError):
                raise found
            return found
    finally:
        if connection.open:
            with connection.in_use():
                await subscription.unsubscribe()


class _Arriving:
    """Messages of a batch while they arrive: to wait for each of them would cost a task for each."""

    def __init__(self, connection: HubConnection, stream: str) -> None:
        self.messages: list[StoredMessage] = []
        self._connection = connection
        self._stream = stream
        self._end: asyncio.Future[StoredBatch | HubError] = asyncio.get_running_loop().create_future()

    async def wait(self) -> StoredBatch | HubError:
        """Return the whole batch, or the failure in its place."""
        return await asyncio.shield(self._end)

    async def take(self, answer: Msg) -> None:
        """Take an answer; those behind the end of the batch are left out."""
        if self._end.done():
            return
        try:
            with understood(self._connection, f"{API}.DIRECT.GET.{self._stream}"):
                found: StoredBatch | HubError | None = self._taken(answer)
        except HubError as error:
            found = error
        if found is not None:
            self._end.set_result(found)

    def _taken(self, answer: Msg) -> StoredBatch | None:
        """Take an answer; returns the batch if it is its end. Raises HubError if it is a failure."""
        headers = answer.headers or {}
        status = headers.get("Status")
        if status is None:
            self.messages.append(_direct(answer))
            return None
        if status == "204":
            return StoredBatch(self.messages, int(headers.get("Nats-Num-Pending", "0")))
        if status == "404":
            return StoredBatch(self.messages, 0)
        if status == "503":
            raise _unreadable(self._connection, self._stream)
        raise ApiError(
            f"{self._connection.server}: {self._stream} refuses to be read "
            f"({printable(headers.get('Description', status))})."
        )


def _unreadable(connection: HubConnection, stream: str) -> StreamMissing:
    return StreamMissing(
        f"{connection.server}: {stream} cannot be read. Make it at the hub, or allow_direct: "
        f"{hub_init(connection.server, gateway_of_stream(stream) or 'GATEWAY')}",
        NO_STREAM,
    )


def _direct(answer: Msg) -> StoredMessage:
    """Return the message in an answer of DIRECT.GET, whose headers the hub put before the message's own."""
    headers = answer.headers or {}
    own = {name: text for name, text in headers.items() if not name.startswith("Nats-")}
    return StoredMessage(
        int(headers["Nats-Sequence"]),
        headers["Nats-Subject"],
        own,
        answer.data,
        time_us(headers["Nats-Time-Stamp"]),
    )
