"""What supervisor and worker tell each other: the messages of the link, as values. Pure.

Kept free of heavy imports, since every worker loads it. `link` carries these.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, NamedTuple


class ClientReport(NamedTuple):
    """One connected client. `connected_at` is in seconds since the epoch."""

    address: str
    connected_at: float
    frames_sent: int
    frames_dropped: int
    backlog_bytes: int


class Counts(NamedTuple):
    """What passed and what was lost on a bus, each counted where it happened. All are totals."""

    received: int = 0
    """Data frames taken from the adapter."""
    payload_bytes: int = 0
    error: int = 0
    """Error frames and malformed input: what the adapter sent that is no frame."""
    remote: int = 0
    lost_kernel: int = 0
    """Frames that the socket's buffer had no room for (SO_RXQ_OVFL)."""
    lost_adapter: int = 0
    """Overruns that the adapter or its driver told; each may be more than one frame."""
    lost_clients: int = 0
    """Frames dropped for clients that read too slowly, one for each such client."""
    sent: int = 0
    """Frames sent to clients, one for each client that got it."""
    sent_bytes: int = 0
    lost_taps: int = 0
    """As `lost_clients`, for taps."""
    recorded: int = 0
    """Frames written to files, where the bus is recorded."""
    unrecorded: int = 0
    """Frames that should be in a file and are not."""

    def plus(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Settings(NamedTuple):
    """To the worker, first of all: its bus section as JSON. Its descriptors are listening sockets."""

    section: str
    remembered: Counts = Counts()
    """What earlier workers of this bus counted."""
    clients: int = 0
    """How many `Client` messages follow."""


class Client(NamedTuple):
    """A client's connection on its way to the next worker: one descriptor, and the bytes owed to it."""

    address: str
    connected_at: float
    frames_sent: int
    frames_dropped: int
    frames_owed: int
    tap: bool = False
    """No client but the supervisor's own ear, such as for printing: no audience, in no count, never disconnected."""


class Recording(NamedTuple):
    """How recording goes: from the recorder to its worker, and from there to the supervisor."""

    state: str
    """`recording` or `stopped`."""
    reason: str
    """Why it is stopped, or what is wrong with it."""
    file: str
    """Path of the file that is written, or was last; empty before the first frame."""
    size: int
    """Bytes in it."""
    frames: int = 0
    """Frames that this recorder wrote."""
    dropped: int = 0
    """Frames that reached it and are in no file."""


class Report(NamedTuple):
    """From the worker: how it goes. Sent each second and at every change, so it is the heartbeat too."""

    phase: str
    """`starting`, `waiting` or `running`."""
    reason: str
    controller: str | None
    counts: Counts
    clients: list[ClientReport]
    details: dict[str, str]
    """What else the adapter tells about itself, such as its firmware."""
    recording: Recording | None = None
    """None where the bus is not recorded."""


class Notice(NamedTuple):
    """From the worker: something worth a line in the log."""

    level: str
    text: str


class Ended(NamedTuple):
    """From the worker, last of all: why it ends."""

    reason: str


Message = Settings | Client | Recording | Report | Notice | Ended
_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Settings, Client, Recording, Report, Notice, Ended)
}


def to_json(message: Message) -> bytes:
    """The message as JSON: its kind and its fields."""
    return json.dumps([type(message).__name__, *message], separators=(",", ":")).encode()


def from_json(data: bytes) -> Message:
    """What `to_json` wrote."""
    kind, *fields = json.loads(data)
    if kind == "Report":
        phase, reason, controller, counts, clients, details, recording = fields
        return Report(
            phase, reason, controller, Counts(*counts), [ClientReport(*one) for one in clients], details,
            Recording(*recording) if recording else None,
        )  # fmt: skip
    if kind == "Settings":
        return Settings(fields[0], Counts(*fields[1]), fields[2])
    message: Message = _KINDS[kind](*fields)
    return message


def section_from_json(text: str) -> Any:
    """A bus section with the attributes of its model in `config.model`, without importing pydantic.

    `options` stays a dict: its keys are the business of python-can's driver.
    """
    fields = json.loads(text)
    fields["filters"] = [SimpleNamespace(**one) for one in fields.get("filters", ())]
    if fields.get("record"):
        fields["record"] = SimpleNamespace(**fields["record"])
    return SimpleNamespace(**fields)
