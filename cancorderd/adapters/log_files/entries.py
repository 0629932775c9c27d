"""What a log file holds: frames, and flaws, which are places that cannot be read. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from cancorderd.printable import printable

_LONGEST_QUOTE = 60
"""Characters of a line that a sentence quotes."""


class Kind(Enum):
    """Kind of a recorded frame."""

    DATA = "data"
    REMOTE = "remote"
    ERROR = "error"


class LogFrame(NamedTuple):
    """A recorded frame. `number` is that of its line, row or byte.

    An error frame has SocketCAN's class of the error as its id, and 8 bytes that explain it, if the log has them.
    """

    number: int
    stamp_s: float
    kind: Kind
    arbitration_id: int = 0
    flags: int = 0
    data: bytes = b""
    channel: str = ""
    code: int = 0
    """Data length code of a remote frame."""


class Flaw(NamedTuple):
    """A place that cannot be read, and the fact, a phrase without a full stop."""

    number: int
    fact: str


class Unreadable(Exception):
    """A line, row or object that cannot be read; `str()` is the fact."""


class LogEnd(Exception):
    """The rest of the file cannot be read; `str()` is the fact."""


def quoted(text: str) -> str:
    """Return foreign text for a sentence."""
    return f'"{printable(text.strip(), _LONGEST_QUOTE)}"'
