"""Making and checking the streams of gateways, as an administrator of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cancorderd.hub import jetstream, stream_plan, subjects
from cancorderd.hub.failures import ApiError, ServerTooOld, StreamMissing

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from cancorderd.hub.connection import HubConnection
    from cancorderd.hub.jetstream import StreamInfo
    from cancorderd.hub.stream_plan import Limits

_OVERLAP = 10065
"""JSStreamSubjectOverlap."""
_NO_SPACE = 10047
"""JSStorageResourcesExceeded: the limits of all streams together exceed that of the server or the account."""
_NO_REPLICAS = frozenset({10005, 10074})
"""No suitable peers; replicas need a cluster."""


class Outcome(NamedTuple):
    """Result for one stream."""

    stream: str
    action: str
    """`made`, `changed` or `unchanged`."""
    details: str


def require_recent(connection: HubConnection) -> None:
    """Raise ServerTooOld if the server is older than 2.11."""
    if jetstream.server_version(connection.version)[:2] < jetstream.OLDEST_SERVER:
        oldest = ".".join(map(str, jetstream.OLDEST_SERVER))
        raise ServerTooOld(
            f"{connection.server}: nats-server {connection.version or 'of no version'} is too old: it knows no sync_interval, and no "
            f"batches for viewers. Install {oldest} or later."
        )


async def ensure_stream(
    connection: HubConnection, gateway: str, limits: Limits, asked: frozenset[str] = frozenset()
) -> Outcome:
    """Make the stream of a gateway, or correct an existing one.

    An existing stream keeps its limits unless they are in `asked` (keys of JetStream's configuration).
    """
    wanted = stream_plan.stream_config(gateway, limits)
    name = subjects.stream_name(gateway)
    try:
        found = (await jetstream.stream_info(connection, name)).config
    except StreamMissing:
        made = await _accepted(connection, jetstream.create_stream(connection, wanted))
        return Outcome(name, "made", stream_plan.limits_text(made.config))
    different = stream_plan.differences(found, wanted, asked)
    if not different:
        return Outcome(name, "unchanged", stream_plan.limits_text(found))
    changed = {**found, **{each.key: each.wanted for each in different}}
    try:
        updated = await _accepted(connection, jetstream.update_stream(connection, changed))
    except ApiError as error:
        fixed = [each for each in different if each.key in stream_plan.UNCHANGEABLE]
        if not fixed:
            raise
        reasons = "; ".join(f"{each.key} is {each.found}: {each.reason}" for each in fixed)
        raise ApiError(
            f"{connection.server}: {name}: {reasons}. JetStream cannot change that: delete the stream with all that it "
            f"holds (nats stream rm {name}), and run this again.",
            error.code,
        ) from error
    keys = ", ".join(each.key for each in different)
    return Outcome(name, "changed", f"{keys}; {stream_plan.limits_text(updated.config)}")


async def gateways(connection: HubConnection) -> list[str]:
    """Return the gateways that have a stream, sorted."""
    names = await jetstream.stream_names(connection)
    found = (subjects.gateway_of_stream(name) for name in names)
    return sorted(gateway for gateway in found if gateway is not None)


async def _accepted(connection: HubConnection, call: Coroutine[Any, Any, StreamInfo]) -> StreamInfo:
    try:
        return await call
    except ApiError as error:
        if error.code == _NO_SPACE:
            raise ApiError(
                f"{connection.server}: the limits of all streams exceed what the server may store. Give a smaller "
                "--max-gb, or raise max_file_store.",
                error.code,
            ) from error
        if error.code == _OVERLAP:
            raise ApiError(
                f"{connection.server}: another stream holds these subjects already. Find it with nats stream ls, and "
                "delete it or take them out of it.",
                error.code,
            ) from error
        if error.code in _NO_REPLICAS:
            raise ApiError(
                f"{connection.server}: too few servers for so many replicas. Start them, or give fewer --replicas.",
                error.code,
            ) from error
        raise
