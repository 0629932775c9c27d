"""The lines of `cancorderctl dump`: candump's formats or JSON, with the signals if databases are given. Pure."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from cancorderd.cli.ctl.candump_format import CandumpWriter
from cancorderd.cli.ctl.terminal import styled
from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cancorderd.cli.ctl.candump_format import Stamps
    from cancorderd.protocol.frame import Frame
    from cancorderd.signals.signal_decoder import SignalDecoder

_ID_STYLES = tuple(
    f"{weight}{name}" for weight in ("", "bold ") for name in ("green", "yellow", "blue", "magenta", "cyan")
)
_GOLDEN = 2654435769
"""2^32 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4): spreads neighbouring ids."""


def line_format(
    width: int,
    decoders: Mapping[str, SignalDecoder],
    *,
    as_json: bool,
    log: bool,
    stamps: Stamps,
    with_text: bool = False,
    colours: bool = False,
) -> Callable[[str, Frame], str]:
    """Return the function that makes a line of a source's label and a frame; labels have at most `width` characters.

    `decoders` has the decoder of each source with signals, by its label. JSON and logs, which programs read, have no colours.
    """
    if as_json:
        return lambda label, frame: json.dumps(frame_json(label, frame, decoders.get(label)))
    writer = CandumpWriter(width, log=log, stamps=stamps, with_text=with_text)
    plain = writer.line if log or not colours else partial(_coloured_line, writer)
    if not decoders:
        return plain
    from cancorderd.signals.signal_decoder import signal_text

    def line(label: str, frame: Frame) -> str:
        decoder = decoders.get(label)
        decoded = decoder.decode(frame) if decoder else None
        return plain(label, frame) + (signal_text(decoded) if decoded else "")

    return line


def colour(frame: Frame) -> str:
    """Return the style of a frame: each id has the same one in every dump; error frames stand out."""
    if frame.flags & ERROR:
        return "bold red"
    return _ID_STYLES[(frame.arbitration_id * _GOLDEN >> 16 & 0xFFFF) % len(_ID_STYLES)]


def _coloured_line(writer: CandumpWriter, label: str, frame: Frame) -> str:
    return styled(writer.line(label, frame), colour(frame))


def frame_json(label: str, frame: Frame, decoder: SignalDecoder | None) -> dict[str, object]:
    """Return a frame: time in seconds since the epoch, bytes in hexadecimal and, if known, its signals."""
    return {
        "time": frame.timestamp_us / 1_000_000,
        "bus": label,
        "id": frame.arbitration_id,
        "extended": bool(frame.flags & EXTENDED),
        "fd": bool(frame.flags & FD),
        "brs": bool(frame.flags & BRS),
        "esi": bool(frame.flags & ESI),
        **_payload(frame),
        **((decoder.decode(frame) if decoder else None) or {}),
    }


def _payload(frame: Frame) -> dict[str, object]:
    if frame.flags & REMOTE:
        return {"remote": True, "dlc": len(frame.data), "data": ""}
    payload: dict[str, object] = {"data": frame.data.hex()}
    return {"error_frame": True, **payload} if frame.flags & ERROR else payload
