"""Calls of JetStream's API, typed. Each raises HubError, whatever answers.

Requests are written here rather than taken from nats-py's JetStream context, which creates consumers for many
of them: a right to create consumers is a right to write.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cancorderd.hub.connection import ANSWER_WITHIN_S
from cancorderd.hub.endings import no_answer
from cancorderd.hub.failures import ApiError, NoAnswer, NoJetStream, StreamMissing
from cancorderd.hub.subjects import gateway_of_stream
from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cancorderd.hub.access import ServerAddress
    from cancorderd.hub.connection import HubConnection

API = "$JS.API"
OLDEST_SERVER = (2, 11)
"""Older ones lack batches of DIRECT.GET or the durability that the guide promises."""
NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = 10071
NO_JETSTREAM_ACCOUNT = 10039
NO_JETSTREAM_CLUSTER = 10008
_ASK_AGAIN_AFTER_S = (1.0, 1.0, 1.0, 1.0, 2.0, 2.0)
"""A cluster drops requests while it elects a leader, for 4 to 9 s, so one that only reads is repeated. An uplink may be slow: few times."""
_MOST_STREAMS = 10_000
"""Names that are read: a server that names more, or the same ones again and again, is not listened to for ever."""


@dataclass(frozen=True)
class StreamState:
    """Content of a stream."""

    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int
    first_time_us: int
    last_time_us: int
    subjects: Mapping[str, int] = field(default_factory=dict)
    """Messages by subject, if they were asked for."""


@dataclass(frozen=True)
class StreamInfo:
    """Configuration and content of a stream. `config` is the API's own."""

    name: str
    created: str
    """Time of its creation, which tells a stream from an earlier one of this name."""
    config: Mapping[str, Any]
    state: StreamState
    leader: str = ""

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that it stores, with headers; 0: the server's limit."""
        size = self.config.get("max_msg_size")
        return size if isinstance(size, int) and size > 0 else 0


@dataclass(frozen=True)
class StoredMessage:
    """A message of a stream."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    time_us: int
    """Time at which the hub stored it, in microseconds since the epoch."""


@dataclass(frozen=True)
class StoredBatch:
    """Consecutive messages of a subject, and how many more there are."""

    messages: list[StoredMessage]
    pending: int


@dataclass(frozen=True)
class AccountInfo:
    """Limits and use of JetStream by an account; -1 is no limit."""

    storage_bytes: int
    storage_limit_bytes: int
    streams: int
    streams_limit: int


def server_version(text: str) -> tuple[int, int, int]:
    """Return the version of a server as numbers; zeros if `text` is none."""
    parts = text.partition("-")[0].split(".")
    try:
        major, minor, patch = (int(part) for part in parts)
    except ValueError:
        return (0, 0, 0)
    return (major, minor, patch)


async def account_info(connection: HubConnection, *, within_s: float = ANSWER_WITHIN_S) -> AccountInfo:
    subject = f"{API}.INFO"
    answer = await _call(connection, subject, None, within_s)
    with understood(connection, subject):
        limits = answer.get("limits", {})
        return AccountInfo(
            int(answer.get("storage", 0)),
            int(limits.get("max_storage", -1)),
            int(answer.get("streams", 0)),
            int(limits.get("max_streams", -1)),
        )


async def stream_names(
    connection: HubConnection, subject: str = "", *, within_s: float = ANSWER_WITHIN_S
) -> list[str]:
    """Return the names of all streams, or of those that hold `subject`."""
    names: list[str] = []
    target = f"{API}.STREAM.NAMES"
    while True:
        request: dict[str, Any] = {"offset": len(names)}
        if subject:
            request["subject"] = subject
        answer = await _call(connection, target, request, within_s)
        with understood(connection, target):
            page = [printable(str(name)) for name in answer.get("streams") or []]
            fresh = set(page).difference(names)
            names += page
            if not fresh or len(names) >= min(int(answer.get("total", 0)), _MOST_STREAMS):
                return names


async def stream_info(
    connection: HubConnection, stream: str, *, subjects: str | None = None, within_s: float = ANSWER_WITHIN_S
) -> StreamInfo:
    """Return a stream's configuration and state. `subjects` (with wildcards) asks for their counts, too.

    Raises StreamMissing.
    """
    request = None if subjects is None else {"subjects_filter": subjects}
    target = f"{API}.STREAM.INFO.{stream}"
    return _stream(connection, target, await _read(connection, target, request, within_s))


async def create_stream(connection: HubConnection, config: Mapping[str, Any]) -> StreamInfo:
    target = f"{API}.STREAM.CREATE.{config['name']}"
    return _stream(connection, target, await _call(connection, target, config, ANSWER_WITHIN_S))


async def update_stream(connection: HubConnection, config: Mapping[str, Any]) -> StreamInfo:
    target = f"{API}.STREAM.UPDATE.{config['name']}"
    return _stream(connection, target, await _call(connection, target, config, ANSWER_WITHIN_S))


async def purge_stream(connection: HubConnection, stream: str) -> int:
    """Delete all messages of a stream; returns how many."""
    subject = f"{API}.STREAM.PURGE.{stream}"
    answer = await _call(connection, subject, None, ANSWER_WITHIN_S)
    with understood(connection, subject):
        return int(answer.get("purged", 0))


async def delete_stream(connection: HubConnection, stream: str) -> None:
    await _call(connection, f"{API}.STREAM.DELETE.{stream}", None, ANSWER_WITHIN_S)


async def last_message(
    connection: HubConnection, stream: str, subject: str, *, within_s: float = ANSWER_WITHIN_S
) -> StoredMessage | None:
    """Return the last message of a subject (wildcards allowed) from the stream's leader, or None."""
    return await _message(connection, stream, {"last_by_subj": subject}, within_s)


async def message(
    connection: HubConnection, stream: str, sequence: int, *, within_s: float = ANSWER_WITHIN_S
) -> StoredMessage | None:
    """Return the message with a sequence number from the stream's leader, or None."""
    return await _message(connection, stream, {"seq": sequence}, within_s)


async def _message(
    connection: HubConnection, stream: str, which: dict[str, Any], within_s: float
) -> StoredMessage | None:
    target = f"{API}.STREAM.MSG.GET.{stream}"
    try:
        answer = await _read(connection, target, which, within_s)
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    with understood(connection, target):
        stored = answer["message"]
        return StoredMessage(
            int(stored["seq"]),
            str(stored["subject"]),
            headers_of(base64.b64decode(stored.get("hdrs", ""))),
            base64.b64decode(stored.get("data", "")),
            time_us(str(stored["time"])),
        )


def headers_of(block: bytes) -> dict[str, str]:
    """Return the headers in a block as the hub stores it (`NATS/1.0`, lines of `Name: text`)."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, text = line.partition(":")
        if colon:
            headers[name] = text.strip()
    return headers


def time_us(text: str) -> int:
    """Return microseconds since the epoch of a time as the hub writes it (RFC 3339, UTC, nanoseconds).

    An empty stream has the year 1, which gives a negative number.
    """
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(f"{seconds}+00:00")
    return int(whole.timestamp()) * 1_000_000 + int(f"{fraction:0<6}"[:6])


def _stream(connection: HubConnection, subject: str, answer: Mapping[str, Any]) -> StreamInfo:
    """Return the stream that the answer to a request describes."""
    with understood(connection, subject):
        config, state = answer["config"], answer["state"]
        subjects = (state.get("subjects") or {}).items()
        return StreamInfo(
            str(config["name"]),
            str(answer.get("created", "")),
            config,
            StreamState(
                int(state["messages"]),
                int(state["bytes"]),
                int(state["first_seq"]),
                int(state["last_seq"]),
                time_us(state["first_ts"]),
                time_us(state["last_ts"]),
                {str(held): int(count) for held, count in subjects},
            ),
            str((answer.get("cluster") or {}).get("leader", "")),
        )


@contextlib.contextmanager
def understood(connection: HubConnection, subject: str) -> Iterator[None]:
    """Turn the exceptions of code that reads an answer into an ApiError: no JetStream answers like that."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as failure:
        raise ApiError(f"{connection.server}: the answer to {subject} is no JetStream answer.") from failure


async def _read(
    connection: HubConnection, subject: str, request: Mapping[str, Any] | None, within_s: float
) -> dict[str, Any]:
    """Return the answer to a request that changes nothing. It is repeated until there is one; the first answer counts.

    The requests before stay open: on a slow link, each answer takes longer than the wait for the next.
    """
    asked: set[asyncio.Task[dict[str, Any]]] = set()
    left_s = within_s
    try:
        for wait_s in (*_ASK_AGAIN_AFTER_S, within_s):
            asked.add(asyncio.create_task(_call(connection, subject, request, left_s)))
            # The last request ends by itself.
            limit_s = wait_s if wait_s < left_s else None
            done, _ = await asyncio.wait(asked, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if done or limit_s is None:
                break
            left_s -= wait_s
        return await done.pop()
    except NoAnswer as error:
        raise no_answer(connection.server, subject, within_s) from error
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _call(
    connection: HubConnection, subject: str, request: Mapping[str, Any] | None, within_s: float
) -> dict[str, Any]:
    payload = b"" if request is None else json.dumps(request).encode()
    answer = await connection.request(subject, payload, within_s=within_s)
    with understood(connection, subject):
        content = json.loads(answer.data)
        error = content.get("error")
        if error is not None:
            raise _refusal(connection, subject, error)
    return content  # type: ignore[no-any-return]


def hub_init(server: ServerAddress, gateway: str) -> str:
    """Return the command with which an administrator makes or corrects a gateway's stream, on a hub in a box."""
    return f"sudo cancorderctl hub init {server} {gateway}"


def _refusal(connection: HubConnection, subject: str, error: Mapping[str, Any]) -> ApiError | NoJetStream:
    code = int(error.get("err_code", 0))
    fact = printable(str(error.get("description", error)))
    if code == NO_STREAM:
        stream = subject.rpartition(".")[2]
        return StreamMissing(
            f"{connection.server}: there is no stream {stream}. Correct the gateway's name, or make it at the hub: "
            f"{hub_init(connection.server, gateway_of_stream(stream) or 'GATEWAY')}",
            code,
        )
    if code == NO_JETSTREAM_ACCOUNT:
        return NoJetStream(
            f"{connection.server}: JetStream is not enabled for this account. Enable it (jetstream: enabled)."
        )
    if code == NO_JETSTREAM_CLUSTER:
        return NoJetStream(
            f"{connection.server}: JetStream has no leader at present. Start most of the servers."
        )
    action = subject.removeprefix(f"{API}.")
    return ApiError(
        f"{connection.server}: {action} is refused ({fact}). Check limits and rights at the hub.", code
    )
