"""Messages between the supervisor and its processes, as values, and their JSON. Pure.

Kept free of heavy imports, since every worker loads it. `channel` carries these messages.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from typing import Any, NamedTuple, TypeVar

from cancorderd.printable import printable


class ClientReport(NamedTuple):
    """A connected client. `connected_at_s` is on the monotonic clock, which all processes of a machine share."""

    address: str
    connected_at_s: float
    frames_sent: int
    frames_dropped: int
    backlog_bytes: int


class Counts(NamedTuple):
    """Totals of a bus: frames that passed and frames that were lost, each counted where it happened."""

    received: int = 0
    """Data frames read from the adapter."""
    payload_bytes: int = 0
    error: int = 0
    """Error frames, and malformed input from the adapter."""
    remote: int = 0
    lost_kernel: int = 0
    """Frames lost because the socket's buffer was full (SO_RXQ_OVFL)."""
    lost_adapter: int = 0
    """Overruns reported by the adapter or its driver; each may mean several frames."""
    lost_clients: int = 0
    """Frames dropped for clients that read too slowly; a frame counts once for each such client."""
    sent: int = 0
    """Frames sent to clients; a frame counts once for each client that received it."""
    sent_bytes: int = 0
    lost_taps: int = 0
    """As `lost_clients`, for taps (see `ClientHandover.tap`)."""
    recorded: int = 0
    """Frames written to files, if the bus is recorded."""
    unrecorded: int = 0
    """Frames that should be in a file and are not."""
    recorded_errors: int = 0
    """As `recorded`, for remote and error frames."""
    unrecorded_errors: int = 0
    lost_unknown: int = 0
    """Frames that crashed workers took along, at most; an estimate of the supervisor."""
    fed: int = 0
    """Frames for the forwarder, whether or not it got them, if the bus is forwarded."""

    def plus(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(self, other, strict=True)))


LATENCY_BOUNDS_S = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, 250e-3)
"""Upper bounds of the counts of `Latency`; the last count has none."""


class Latency(NamedTuple):
    """Batches of a bus by the time from the read's return to the last client's send."""

    counts: list[int]
    """Batches up to each of `LATENCY_BOUNDS_S`, without those of the bounds before, and at last all that took longer."""
    sum_s: float


class WorkerStart(NamedTuple):
    """First message to a worker: the settings of its bus as JSON.

    Its descriptors are the listening sockets, if the bus is recorded the socket for `RecordingEnd`, and if `fed` the
    socket to the forwarder.
    """

    settings: str
    earlier: Counts = Counts()
    """Counts of the bus's earlier workers."""
    clients: int = 0
    """Number of `ClientHandover` messages that follow."""
    backlog_share: int | None = None
    """See `BacklogShare`; None sets no limit."""
    earlier_latency: Latency | None = None
    """As `earlier`, of the batches."""
    fed: bool = False
    """Whether the bus is forwarded."""


class BacklogShare(NamedTuple):
    """To a worker that runs: the number of bytes that all its clients' backlogs together may hold from now on."""

    size: int


class FeedChange(NamedTuple):
    """To a worker that runs: its descriptor is a new socket to the forwarder; without one, forwarding ends."""


class NewListeners(NamedTuple):
    """To a worker that runs: its descriptors are further listening sockets, of addresses that have come since."""


class UnsentChunk(NamedTuple):
    """A part of a payload that ends with a whole packet: its bytes, and the frames that it counts as."""

    size: int
    frames: int


MOST_READERS = 8
"""Readers of the control socket that a bus serves at a time: each costs as much as a client does."""


class ClientHandover(NamedTuple):
    """A client's connection on its way from a worker to the next, through the supervisor; or a new reader's.

    Its descriptor is the client's socket, its payload the bytes that are still to be sent to the client.
    """

    address: str
    connected_at_s: float
    frames_sent: int
    frames_dropped: int
    frames_unsent: int
    """Frames that the payload counts as."""
    tap: bool = False
    """True for a tap: a stream of the bus's frames to the supervisor itself, which prints them.

    A tap is served like a client, but it is in no list and in no count of clients, does not start a
    simulation, and is never disconnected for being slow.
    """
    chunks: list[UnsentChunk] | None = None
    """Parts of the payload, of which the next worker can drop the oldest; None if it is not divided."""
    marked: bool = False
    """True for a tap that also gets marks with the number of clients, see `protocol.audience_mark`."""
    internal: bool = False
    """True for a reader of the control socket: a tap whose stream has remote and error frames, too."""

    @property
    def printer(self) -> bool:
        """Whether this is the supervisor's own tap."""
        return self.tap and not self.internal


class RecordingReport(NamedTuple):
    """State of a recording: from the recorder to its worker, and from there to the supervisor."""

    state: str
    """`recording` or `stopped`."""
    reason: str
    """Why the recording is stopped or at risk; empty if all is well."""
    file: str
    """Path of the current or the last file; empty before the first frame."""
    size: int
    """Size of this file in bytes."""
    frames: int = 0
    """Frames written by this recorder."""
    dropped: int = 0
    """Frames that reached the recorder and are in no file."""
    errors: int = 0
    """Remote and error frames written, which do not count as frames here."""
    errors_dropped: int = 0


class RecordingEnd(NamedTuple):
    """Last message of a recorder, to the supervisor: frames of all recorders of its worker."""

    frames: int
    """Frames written."""
    dropped: int
    """Frames that reached a recorder and are in no file."""
    errors: int = 0
    """Remote and error frames written."""
    errors_dropped: int = 0


class BusReport(NamedTuple):
    """State of a worker's bus. Sent each second and at every change, so it is the heartbeat too."""

    state: str
    """`starting`, `waiting` or `running`."""
    reason: str
    controller: str | None
    counts: Counts
    clients: list[ClientReport]
    details: dict[str, str]
    """Further facts about the adapter, such as its firmware."""
    recording: RecordingReport | None = None
    """None if the bus is not recorded."""
    readers: int = 0
    """Number of readers of the control socket (see `ClientHandover.internal`)."""
    proving: bool = False
    """Whether it waits for the set-up of an adapter that is there: frames on the bus are lost meanwhile."""
    last_frame_s: float | None = None
    """Arrival of the latest data frame, on the monotonic clock; None before the first of this worker."""
    latency: Latency | None = None
    """Of all workers of the bus."""
    position: str = ""
    """Where the next worker has to go on; empty if the frames of this bus do not wait."""
    counted_to_s: float | None = None
    """Time, on the monotonic clock, up to which `counts` holds all frames that the adapter had delivered."""


class Notice(NamedTuple):
    """A line for the supervisor's log."""

    level: str
    text: str
    event: bool = True
    """Whether the line is an event of the bus, too."""


class Heartbeat(NamedTuple):
    """From a process beside the workers, which has nothing to report: it runs."""


class WorkerEnd(NamedTuple):
    """Last message of a worker, or of a process beside the workers."""

    reason: str


class ForwarderStart(NamedTuple):
    """First message to the forwarder."""

    settings: str
    """The table [forward] as JSON."""
    gateway: str
    folder: str
    """Folder of the spool."""


class SafePosition(NamedTuple):
    """How far an earlier forwarder has brought a bus: all frames before are at the hub or on the disk."""

    spool: str
    """Its spool id."""
    position: int
    """Position in the bus's stream, as its marks count (`protocol.feed_mark`)."""
    stored: int
    """The frames of this bus that were in its batches up to there."""
    kernel: int = 0
    """Losses before the stream that these batches have reported, since the daemon started."""
    adapter: int = 0
    unknown: int = 0


class NewFeed(NamedTuple):
    """To the forwarder: its descriptor is the stream of a bus's worker, which follows those of earlier workers."""

    bus: str
    number: int
    """Number of the stream, for `ForwarderReport.ended`."""
    safe: SafePosition | None = None
    """How far the forwarders before this one have brought the bus; None if that is not known."""


class EndRequest(NamedTuple):
    """To the forwarder: end in order. Unlike SIGTERM, it comes only from the supervisor, when the workers have ended."""


class GatewayLosses(NamedTuple):
    """To the forwarder: frames of a bus that were lost before its stream, since the daemon started."""

    bus: str
    kernel: int
    adapter: int
    unknown: int
    fed: int = 0
    """Frames that its workers have had for the forwarder, by their reports: the position at the end of its streams."""


class ForwardedBusReport(NamedTuple):
    """State of a bus in the forwarder."""

    name: str
    lag_frames: int
    """Frames that it has and that the hub has not acknowledged."""
    lag_s: float
    forwarded: int
    """Frames that the hub has acknowledged."""
    kernel: int
    adapter: int
    unknown: int
    feed: int
    spool: int
    safe: SafePosition | None = None


class ForwarderReport(NamedTuple):
    """State of the forwarder. Sent each second and at every change, so it is the heartbeat too."""

    connected: bool
    reason: str
    """Why it is not connected or loses frames; empty if all is well."""
    url: str
    """Server to which it is connected, or which it tried last."""
    refused: bool
    """Whether somebody has to act before frames can be forwarded: rights, names, a second gateway of this name."""
    losing: bool
    """Whether frames were lost here within the last seconds."""
    spool_bytes: int
    spool_limit_bytes: int
    spool_lasts_s: float | None
    """How long an outage can last until the oldest frames are dropped, at the present rate."""
    retained_s: float
    """How many of the last acknowledged seconds are kept, for a hub that loses them."""
    epoch: int
    buses: list[ForwardedBusReport]
    ended: list[int]
    """Streams that have been read to their end since the last report."""


Message = (
    WorkerStart
    | FeedChange
    | ForwarderStart
    | NewFeed
    | EndRequest
    | GatewayLosses
    | ForwarderReport
    | NewListeners
    | ClientHandover
    | RecordingReport
    | RecordingEnd
    | BusReport
    | Notice
    | Heartbeat
    | WorkerEnd
    | BacklogShare
)
M = TypeVar("M", bound=Message)
_LONGEST_TEXT = 3000
"""Characters of a text in a worker's message, such as the longest reason."""
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in typing.get_args(Message)}


def to_json(message: Message) -> bytes:
    """Return the message as a JSON array: its kind and its fields."""
    return json.dumps([type(message).__name__, *message], separators=(",", ":")).encode()


def from_json(data: bytes) -> Message:
    """Return the message that `to_json` wrote."""
    kind, *fields = json.loads(data)
    message: Message = _typed(_KINDS[kind], fields)
    return message


def printable_message(message: M) -> M:
    """Return a message of a worker with printable texts: drivers, adapters and libraries contribute to them."""
    safe: M = _printable_value(message)
    return safe


def _printable_value(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, _LONGEST_TEXT)
    if isinstance(value, dict):
        return {_printable_value(key): _printable_value(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(_printable_value, value))
    return [*map(_printable_value, value)] if isinstance(value, list) else value


def _typed(kind: Any, value: Any) -> Any:
    """Return a JSON value as the type `kind`; named tuples are arrays in JSON."""
    if value is None:
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # of a type and None
        return _typed(arguments[0], value)
    if origin is list:
        return [_typed(arguments[0], item) for item in value]
    if isinstance(kind, type) and issubclass(kind, tuple):
        return kind(*map(_typed, _field_types(kind), value))
    return value


@functools.cache
def _field_types(kind: type) -> tuple[Any, ...]:
    return tuple(typing.get_type_hints(kind).values())
