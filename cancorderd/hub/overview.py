"""Gateways and buses at a hub, with their last frames, rates and losses, as a viewer may read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.hub import direct_get, headers, jetstream, streams, subjects
from cancorderd.hub.failures import StreamMissing
from cancorderd.printable import printable

if TYPE_CHECKING:
    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.headers import BatchHead, Losses
    from cancorderd.hub.jetstream import StoredMessage

_RATE_OVER = timedelta(seconds=10)
"""Time before the last message over which the rate is the mean."""


@dataclass(frozen=True)
class BusAtHub:
    """A bus as its last message at the hub shows it."""

    gateway: str
    bus: str
    last_us: int
    """Stamp of its last frame."""
    stored_us: int
    """Time at which the hub stored that frame."""
    frames_per_second: float
    lost: Losses
    mistake: str = ""
    """Reason why its last message cannot be read; the other fields are empty then."""

    @property
    def lag_s(self) -> float:
        """Time that the last frame took to the hub, by the clocks of both machines."""
        return max(0.0, (self.stored_us - self.last_us) / 1e6)


class Overview(NamedTuple):
    """Buses at a hub, sorted by name, and the gateways whose streams hold nothing."""

    buses: list[BusAtHub]
    silent: list[str]


async def overview(connection: HubConnection) -> Overview:
    """Return all buses of all gateways. Raises HubError."""
    streams.require_recent(connection)
    found: list[BusAtHub] = []
    silent: list[str] = []
    for gateway in await streams.gateways(connection):
        stream = subjects.stream_name(gateway)
        try:
            state = (
                await jetstream.stream_info(connection, stream, subjects=subjects.all_subjects(gateway))
            ).state
        except StreamMissing:  # deleted meanwhile
            continue
        if not state.subjects:
            silent.append(gateway)
        for subject in sorted(state.subjects):
            parts = subjects.parsed_subject(subject)
            if parts and (last := await direct_get.last_direct(connection, stream, subject)):
                found.append(await _bus(connection, parts, stream, last))
    return Overview(found, silent)


async def _bus(
    connection: HubConnection, parts: tuple[str, str], stream: str, last: StoredMessage
) -> BusAtHub:
    gateway, bus = parts
    try:
        head = headers.parse(last.headers)
    except headers.HeaderError as error:
        return BusAtHub(gateway, bus, 0, last.time_us, 0.0, headers.Losses(), printable(str(error)))
    start = datetime.fromtimestamp(last.time_us / 1e6, UTC) - _RATE_OVER
    batch = await direct_get.read_batch(connection, stream, last.subject, start=start, batch=1)
    earlier = _head(batch.messages[0]) if batch.messages else None
    return BusAtHub(gateway, bus, head.last_us, last.time_us, rate(earlier, head), head.lost)


def rate(earlier: BatchHead | None, last: BatchHead) -> float:
    """Return the frames per second of a bus between two messages, or within the only one."""
    if earlier is None or earlier.batch.spool != last.batch.spool:
        earlier = last
    frames = last.before + last.frames - earlier.before
    span_us = last.last_us - earlier.first_us
    return frames / (span_us / 1e6) if span_us > 0 else 0.0


def _head(message: StoredMessage) -> BatchHead | None:
    try:
        return headers.parse(message.headers)
    except headers.HeaderError:
        return None
