"""What an adapter sent while it was being set up: answers, told from frames, echoes and other text. Pure.

A setting is answered by a bare CR (done) or BEL (refused) alone. A CR that ends a line of text belongs to the text: of
a frame, of a message of a board that starts, of a device that is no adapter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters.slcan.decoder import BEL, CR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_FRAME_TEXT = rb"[tTrRdDbB][0-9A-Fa-f]{4,141}"
_FRAME = re.compile(_FRAME_TEXT)
_LINE = re.compile(
    rb"(?:(?P<printed>" + _FRAME_TEXT + rb"|)\r\r\n|(?P<text>[^\r\n\a]*)(?P<end>\r\n?|\n\r?|\a|\Z))"
)
"""A text, and its end as different firmware writes it; what ends with CR is often printed with another line end."""
_FRAGMENT = re.compile(rb"[0-9A-Fa-f]+")
"""Rest of a frame whose beginning was sent before the port was open."""


class Line(NamedTuple):
    """A text without its end, which is empty if the end has not arrived."""

    text: bytes
    end: bytes
    after: int
    """Position behind the end."""


class Replies(NamedTuple):
    """Content of the bytes between two pauses."""

    answers: bytes
    """CR and BEL in order; empty if text surrounds them, since then they may belong to the text."""
    text: bytes
    """The first line that is neither frame nor echo."""
    frames: bool
    doubtful: bool = False
    """Whether there was an answer, unless it belongs to the text around it."""


def lines(data: bytes) -> Iterator[Line]:
    """Return the lines in `data`; NUL bytes are no part of a text."""
    for found in _LINE.finditer(data):
        if found.end() > found.start():
            text, end = found["text"], found["end"]
            if text is None:
                text, end = found["printed"], CR
            yield Line(text.replace(b"\0", b"").strip(b" "), end, found.end())


def is_frame(text: bytes) -> bool:
    return _FRAME.fullmatch(text.replace(b" ", b"")) is not None


def answer_in(line: Line, echoes: Collection[bytes]) -> bytes:
    """Return CR or BEL if the line is an answer. Some firmware repeats a command before it refuses the command."""
    if line.end == BEL and (not line.text or line.text in echoes):
        return BEL
    return CR if not line.text and CR in line.end else b""


def is_closed(text: bytes) -> bool:
    """Return whether an open channel has answered C, which follows its last frame."""
    return any(answer_in(line, (b"C",)) for line in lines(text))


def read_replies(data: bytes, echoes: Collection[bytes], *, first: bool = False) -> Replies:
    """Return what `data` consists of; `echoes` are the commands that firmware may repeat.

    `first` if these are the first bytes since the port was opened, which may begin within a frame.
    """
    answers, text, frames = b"", b"", False
    for number, line in enumerate(lines(data)):
        if answer := answer_in(line, echoes):
            answers += answer
        elif is_frame(line.text):
            if first and number == 1:
                answers = b""  # it was the end of a frame
            frames = True
        elif (
            line.text
            and line.text not in echoes
            and not (first and number == 0 and _FRAGMENT.fullmatch(line.text))
        ):
            text = text or line.text
    return Replies(b"" if text else answers, text, frames, doubtful=bool(text and answers))
