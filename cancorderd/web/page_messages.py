"""The messages between the page and this process: JSON texts over one WebSocket per page. Pure.

The page sends `watch` whenever what it shows changes, and `ready` once it has drawn an update of frames: the next one is
sent only then, so that a slow browser gets as many as it can draw. What it sends is foreign: `read_message` checks it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypedDict

from cancorderd.protocol.frame import EXTENDED, MAX_EXTENDED_ID, MAX_STANDARD_ID
from cancorderd.web.frame_table import row_key

if TYPE_CHECKING:
    from cancorderd.control.protocol import LoggedEvent, StatusAnswer
    from cancorderd.web.bus_history import HistoryAnswer
    from cancorderd.web.frame_table import Key, RowUpdate

LONGEST_MESSAGE = 16_384
"""Bytes: `MOST_DECODED` ids with room to spare."""
MOST_DECODED = 256
"""Rows that a page may have decoded: more than a large screen shows."""
_ID = re.compile(r"[0-9A-F]{3}|[0-9A-F]{8}")


class Hello(TypedDict):
    """First message: what this server lets the page do."""

    kind: Literal["hello"]
    control: bool
    """Whether buttons that change something may be shown."""


class StatusNews(TypedDict):
    """The status, each second and after each event."""

    kind: Literal["status"]
    time: float
    """Seconds since the Unix epoch."""
    status: StatusAnswer | None
    """None: the daemon does not answer."""
    reason: str
    """Why there is no status."""


class Sparklines(TypedDict):
    """The last ten minutes of every bus."""

    kind: Literal["sparklines"]
    buses: dict[str, HistoryAnswer]


class History(TypedDict):
    """The last hour of the bus that the page watches."""

    kind: Literal["history"]
    bus: str
    history: HistoryAnswer | None


class Events(TypedDict):
    """Events, oldest first; the first such message has the remembered ones."""

    kind: Literal["events"]
    events: list[LoggedEvent]


class FrameNews(TypedDict):
    """Rows of live frames with news."""

    kind: Literal["frames"]
    bus: str
    whole: bool
    """Whether these are all rows there are, each with the bits that ever changed; otherwise the others stay as they are."""
    rows: list[RowUpdate]
    errors: int
    """Error frames since the page began to watch."""
    left_out: int
    """Frames of ids beyond the number of rows."""
    reason: str
    """Why there are no frames; empty if they flow."""


class SignalNews(TypedDict):
    """Decoded signals by the name of their row, or why there are none."""

    kind: Literal["signals"]
    bus: str
    signals: dict[str, object]
    reason: str
    """What is wrong with the database; empty if all is well."""


Message: TypeAlias = Hello | StatusNews | Sparklines | History | Events | FrameNews | SignalNews


class Watch(NamedTuple):
    """What a page shows."""

    bus: str | None = None
    frames: bool = False
    """Whether it shows live frames now: neither paused nor hidden."""
    decode: tuple[Key, ...] = ()
    """Rows whose signals it shows."""


class Ready(NamedTuple):
    """The page has drawn the last update of frames."""


class MessageError(ValueError):
    """The page sent what no page of ours sends."""


def encode(message: Message) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def read_message(text: str) -> Watch | Ready:
    """Return a message of a page. Raises MessageError."""
    if len(text) > LONGEST_MESSAGE:
        raise MessageError(f"a message of {len(text)} characters; the limit is {LONGEST_MESSAGE}")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("not JSON") from error
    match message:
        case {"kind": "ready"}:
            return Ready()
        case {
            "kind": "watch",
            "bus": str() | None as bus,
            "frames": bool(frames),
            "decode": list(decode),
        } if len(decode) <= MOST_DECODED:
            return Watch(bus, frames, tuple(map(_key, decode)))
        case _:
            raise MessageError("neither watch nor ready")


def _key(text: object) -> Key:
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise MessageError("an id is not three or eight hexadecimal digits")
    arbitration_id, extended = int(text, 16), len(text) == 8
    if arbitration_id > (MAX_EXTENDED_ID if extended else MAX_STANDARD_ID):
        raise MessageError("an id is above the highest")
    return row_key(arbitration_id, EXTENDED if extended else 0)
