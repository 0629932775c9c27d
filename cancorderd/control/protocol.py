"""The control API: paths, permissions, exit statuses, and the shape of every answer.

Pure and light to import. `contrib/openapi` describes the same answers for programs in other languages,
generated from the classes below.
"""

# Annotations are evaluated here, unlike elsewhere: as text, each would be compiled at every start of cancorderctl.
import enum
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, final

DEFAULT_SOCKET = "/run/cancorder/control.sock"
_LONGEST_RUNTIME_FOLDER = 75
"""Bytes: the path of a Unix socket has at most 103 everywhere, and a name beside it has a suffix."""
GROUP = "cancorder"
"""Members may read; root and the daemon's own user may also make changes."""

INDEX = "/v1/"
STATUS = "/v1/status"
EVENTS = "/v1/events"
RELOAD = "/v1/reload"
WEB = "/v1/web"
WEB_USER = "cancorder-web"
"""User of the web process under systemd. With `control = true`, it may change buses, too."""
FRAMES_TYPE = "application/octet-stream"
"""Media type of the answer to `frames_path`: packets until the connection ends, as on a TCP port, with the remote frames
(flag 0x40: the length byte is the DLC, and no payload follows) and error frames (flag 0x80: the id is the class of the
error, the payload its 8 bytes, as in linux/can/error.h) that no TCP port carries."""

Verb: TypeAlias = Literal["start", "stop", "restart"]
"""Request to a bus."""
VERBS: tuple[Verb, ...] = ("start", "stop", "restart")


class Exit(enum.IntEnum):
    """Exit statuses of the commands."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ALL_RUNNING = 3
    """`status`: a bus that should run does not, or is not recorded or forwarded as it should be."""
    NO_PERMISSION = 4
    NOT_RUNNING = 7
    """The daemon is not running."""
    MISTAKES = 78
    """EX_CONFIG, from `cancorderd` to systemd alone: the file has mistakes, so that trying again is pointless."""


StateName: TypeAlias = Literal[
    "disabled", "starting", "waiting", "running", "backoff", "failed", "stopping", "stopped"
]
"""State of a bus; `supervisor.state_machine.State` explains each."""

GOOD_STATES: frozenset[StateName] = frozenset({"running", "disabled", "stopped"})
"""States in which nothing is wrong with a bus; in any other, the bus should run and does not. See `all_is_well`."""


class FrameCounts(TypedDict):
    """Frames from the adapter since the daemon started."""

    received: int
    """Data frames."""
    per_second: float
    error: int
    """Error frames and malformed input."""
    remote: int
    """Remote frames, which the wire format cannot carry."""


class LostCounts(TypedDict):
    """Frames lost since the daemon started, by the place of the loss."""

    kernel: int
    """Frames that did not fit into the socket's receive buffer."""
    adapter: int
    """Overruns reported by the adapter or its driver; each may be more than one frame."""
    clients: int
    """Frames dropped for clients that read too slowly, counted once for each such client."""
    unknown: int
    """Frames that crashed workers took along, at most: the last reported rate times the time without a report."""


class RecordingStatus(TypedDict):
    """Recording of a bus."""

    state: str
    """`recording` or `stopped`."""
    reason: str
    """Why recording is stopped or impaired; empty if all is well."""
    file: str | None
    """Path of the current or latest file."""
    bytes: int
    """Size of `file`."""
    frames: int
    """Frames written since the daemon started."""
    dropped: int
    """Frames missing from the files."""
    errors: NotRequired[int]
    """Remote and error frames written since the daemon started, apart from `frames`; only with `record.errors`."""
    errors_dropped: NotRequired[int]
    """Remote and error frames missing from the files; only with `record.errors`."""


class ClientStatus(TypedDict):
    """A connected client."""

    address: str
    connected_s: float
    """Seconds since the client connected."""
    frames_sent: int
    frames_dropped: int
    """Frames dropped because this client reads too slowly."""
    backlog_bytes: int
    """Bytes that wait to be sent."""


class ReadersStatus(TypedDict):
    """Readers of `GET /v1/buses/NAME/frames`."""

    connected: int
    frames_dropped: int
    """Frames dropped since the daemon started because a reader was too slow, counted once for each such reader."""


class LatencyStatus(TypedDict):
    """Batches of frames by the time from the read of the adapter to the last client's send, since the daemon started."""

    bounds_s: list[float]
    """Upper bounds of the counts, in seconds; the last count has none."""
    counts: list[int]
    """Batches up to each bound, without those up to the bound before."""
    sum_s: float
    """Time of all batches together."""


class BusStatus(TypedDict):
    """A bus."""

    name: str
    interface: str
    channel: str | int | None
    serial: str | None
    """Serial number of the adapter, if the configuration selects the adapter by serial number."""
    bitrate: int
    """Nominal bit rate, bit/s."""
    enabled: bool
    state: StateName
    reason: str
    """Why the bus is in this state; empty if there is nothing to explain."""
    since: float
    """Time of the latest change of state, seconds since the Unix epoch."""
    pid: int | None
    """Process id of the worker."""
    port: int | None
    """TCP port for clients."""
    listen: list[str]
    """Addresses on which clients can connect."""
    listen_missing: list[str]
    """Addresses of `listen` that the machine does not have at present."""
    restarts: int
    """Workers started in place of failed workers."""
    last_error: str
    """Reason of the latest failure."""
    frames: FrameCounts
    lost: LostCounts
    last_frame: NotRequired[float | None]
    """Arrival of the latest data frame, seconds since the Unix epoch; None before the first."""
    latency: NotRequired[LatencyStatus | None]
    """None before the first report of a worker."""
    load: float
    """Estimated share of the bus's time in use, from 0 to 1."""
    controller: str | None
    """Error state of the CAN controller (ISO 11898-1), such as `error-passive`, if the adapter reports it."""
    details: dict[str, str]
    """Further facts that the adapter reports, such as its firmware version."""
    recording: RecordingStatus | None
    """None if the bus is not recorded."""
    clients: list[ClientStatus]
    readers: ReadersStatus
    database: NotRequired[str]
    """Path of the database of the bus's signals, if it has one."""


class WebStatus(TypedDict):
    """The page for browsers."""

    address: str
    """The page's address, for a browser on this machine."""
    reason: str
    """Why the page is not served; empty if it is, or if another service manager than the daemon looks after it."""


class ForwardLostCounts(TypedDict):
    """Frames of a bus that are not at the hub and will not be, since the daemon started, by the place of the loss."""

    kernel: int
    """As in `LostCounts`."""
    adapter: int
    """As in `LostCounts`."""
    unknown: int
    """Frames that a worker or a forwarder that crashed took along, at most."""
    feed: int
    """Frames that the forwarder did not take from the worker in time."""
    spool: int
    """Frames that were dropped because the spool was full or damaged."""


class ForwardedBus(TypedDict):
    """A bus in the forwarder."""

    name: str
    lag_frames: int
    """Frames that wait for the hub."""
    lag_s: float
    """Age of the oldest of them."""
    forwarded: int
    """Frames that the hub has acknowledged since the forwarder started."""
    lost: ForwardLostCounts


class ForwardStatus(TypedDict):
    """Forwarding to a hub."""

    gateway: str
    """Name of this gateway at the hub."""
    connected: bool
    reason: str
    """Why it is not connected, or loses frames; empty if all is well."""
    url: str
    """Server of the present connection, or of the latest attempt."""
    refused: bool
    """Whether forwarding waits for somebody to act: rights, names, a second gateway of this name."""
    losing: bool
    """Whether frames were lost in the last seconds."""
    pid: int | None
    """Process id of the forwarder."""
    restarts: int
    """Forwarders started in place of failed ones."""
    spool_bytes: int
    """Bytes of the frames that wait, on the disk and in memory."""
    spool_limit_bytes: int
    spool_lasts_s: float | None
    """How long an outage can last from now on until frames are dropped, at the present rate; None if it is unknown."""
    retained_s: float
    """Seconds of acknowledged frames that are kept for a hub that loses its last ones."""
    epoch: int
    """How often the stream was found emptied since the forwarder started."""
    buses: list[ForwardedBus]


class StatusAnswer(TypedDict):
    """Answer to `GET /v1/status`."""

    schema: Literal[1]
    """Version of this answer's shape: it counts up if a key is removed or changes its meaning, not if one is added."""
    host: str
    """Host name of the daemon's machine, by which the answers of several gateways can be merged."""
    time: float
    """When the daemon answered, in seconds since the Unix epoch."""
    version: str
    """Version of the daemon."""
    pid: int
    """Process id of the supervisor."""
    uptime_s: float
    config: str | None
    """Path of the configuration file; None for the demo."""
    web: NotRequired[WebStatus | None]
    """None without a table [web]."""
    buses: list[BusStatus]
    forward: ForwardStatus | None
    """Forwarding to a hub; None if the file has no table [forward]."""


class Resource(TypedDict):
    """A request that the control API answers."""

    method: Literal["GET", "POST"]
    path: str
    """With NAME in place of the name of a bus."""
    does: str


class IndexAnswer(TypedDict):
    """Answer to `GET /v1/`."""

    schema: Literal[1]
    """As in the answer to `GET /v1/status`."""
    version: str
    """Version of the daemon."""
    resources: list[Resource]


class LoggedEvent(TypedDict):
    """A log message about a bus, as `GET /v1/events` streams it."""

    time: float
    """Seconds since the Unix epoch."""
    bus: str
    level: str
    """`debug`, `info`, `warning`, `error` or `critical`."""
    text: str


class WebAnswer(TypedDict):
    """Answer to `GET /v1/web`, which the web process asks for."""

    settings: dict[str, Any] | None
    """The table [web] in force, with all its keys; None without one."""


class VerbAnswer(TypedDict):
    """Answer to `POST /v1/buses/NAME/VERB`: the bus once it has settled, or after 10 s."""

    name: str
    state: StateName
    reason: str
    done: bool
    """Whether the bus is as requested: running or waiting; for `stop`, stopped or disabled."""


class BusChange(TypedDict):
    """Effect of a reload on a bus."""

    bus: str
    kind: Literal["added", "removed", "enabled", "disabled", "restarted", "updated", "unchanged"]
    keys: list[str]
    """Configuration keys whose values differ."""


@final
class ReloadDone(TypedDict):
    """Answer to `POST /v1/reload` if the file is valid."""

    changes: list[BusChange]
    notes: list[str]
    """Changes of the table [forward], and those that take effect only when the daemon restarts."""
    done: bool
    """False if changed buses are in `undone`; all other changes are in force."""
    undone: list[VerbAnswer]
    """Changed buses that failed, or that had not settled after 10 s."""


@final
class ReloadRefused(TypedDict):
    """Answer to `POST /v1/reload` if the file has mistakes; nothing has changed."""

    problems: list[str]
    """Every mistake, each as *place: fact. Remedy.*"""
    done: bool
    """Always false."""


ReloadAnswer: TypeAlias = ReloadDone | ReloadRefused


class ErrorAnswer(TypedDict):
    """Answer to a request that is refused."""

    error: str


def recording_impaired(bus: BusStatus) -> bool:
    """Return whether the bus runs without being recorded as it should be."""
    recording = bus.get("recording")
    return bus["state"] == "running" and bool(recording and recording["reason"])


def all_is_well(bus: BusStatus) -> bool:
    """Return whether the bus runs if it should, and is recorded if it should be."""
    return bus["state"] in GOOD_STATES and not recording_impaired(bus)


def forwarding_impaired(forward: ForwardStatus | None) -> bool:
    """Return whether forwarding loses frames, or waits for somebody to act. An outage that the spool bridges is none."""
    return bool(forward and (forward["refused"] or forward["losing"]))


def impaired_recordings(buses: Sequence[BusStatus]) -> str:
    """Return the number of impaired recordings in words, such as "1 recording stopped"; empty if there are none."""
    states = [bus["recording"]["state"] for bus in buses if recording_impaired(bus) and bus["recording"]]
    if not states:
        return ""
    noun = "recording" if len(states) == 1 else "recordings"
    return f"{len(states)} {noun} {'stopped' if set(states) == {'stopped'} else 'impaired'}"


def index_answer(version: str) -> IndexAnswer:
    """Return what there is, for people who explore the API with curl."""
    resources: list[Resource] = [
        {"method": "GET", "path": STATUS, "does": "the state of the daemon and of every bus"},
        {
            "method": "GET",
            "path": EVENTS,
            "does": "past and new events as server-sent events; follow=0 for past ones",
        },
        {
            "method": "GET",
            "path": frames_path("NAME"),
            "does": "the frames of a bus, with remote and error frames",
        },
        {
            "method": "POST",
            "path": RELOAD,
            "does": "apply the edited configuration; dry_run=1 shows the effect",
        },
    ]
    resources += [
        {"method": "POST", "path": bus_path("NAME", verb), "does": f"{verb} a bus"} for verb in VERBS
    ]
    return {"schema": 1, "version": version, "resources": resources}


def bus_path(name: str, verb: Verb) -> str:
    """Return the path of a request to a bus."""
    return f"/v1/buses/{name}/{verb}"


def frames_path(name: str) -> str:
    """Return the path of a bus's frames."""
    return f"/v1/buses/{name}/frames"


def may_change(user: int, own_user: int) -> bool:
    """Return whether `user` may start, stop, restart and reload: root and the daemon's own user may."""
    return user in (0, own_user)


def demo_folder(user: int) -> str:
    """Return the folder for the socket of this user's `cancorderd --demo`; only this user can enter it.

    XDG_RUNTIME_DIR is ignored if it is not absolute, as its specification says, or too long for a socket.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and len(os.fsencode(runtime)) <= _LONGEST_RUNTIME_FOLDER:
        return f"{runtime}/cancorder"
    import tempfile  # noqa: PLC0415 - a sixth of what `status` loads, and mostly not needed

    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written, as in a container: then no demo runs, either
        folder = "/tmp"  # noqa: S108
    return f"{folder}/cancorder-{user}"


def sockets_to_try(user: int) -> Iterator[str]:
    """Yield the sockets that a command without --socket tries: the service's, then that of the user's demo."""
    yield DEFAULT_SOCKET
    yield f"{demo_folder(user)}/control.sock"
