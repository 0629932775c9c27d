"""The end of a stream at the hub, as its leader describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.forwarder.resume import StreamState
from cancorderd.hub import headers, jetstream
from cancorderd.hub.subjects import all_subjects, stream_name, subject

if TYPE_CHECKING:
    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.headers import BatchHead
    from cancorderd.hub.jetstream import StoredMessage


async def stream_state(connection: HubConnection, gateway: str) -> StreamState:
    """Return the state of a gateway's stream. Raises HubError."""
    stream = stream_name(gateway)
    info = await jetstream.stream_info(connection, stream)
    last = None
    if info.state.messages:
        last = await jetstream.last_message(connection, stream, all_subjects(gateway))
    head = _head(last)
    return StreamState(
        info.state.last_sequence,
        info.created,
        head and head.batch,
        empty=last is None,
        max_message=info.max_message,
    )


async def last_head(connection: HubConnection, gateway: str, bus: str) -> BatchHead | None:
    """Return the headers of a bus's last message; None if there is none, or it is no batch. Raises HubError."""
    return _head(await jetstream.last_message(connection, stream_name(gateway), subject(gateway, bus)))


def _head(message: StoredMessage | None) -> BatchHead | None:
    if message is None:
        return None
    try:
        return headers.parse(message.headers)
    except headers.HeaderError:
        return None
