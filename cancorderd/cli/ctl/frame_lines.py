"""The lines of `cancorderctl dump`: candump's formats or JSON, with the signals if databases are given. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli.ctl.candump_format import CandumpWriter
from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, REMOTE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cancorderd.cli.ctl.candump_format import Stamps
    from cancorderd.protocol.frame import Frame
    from cancorderd.signals.signal_decoder import SignalDecoder


def line_format(
    width: int,
    decoders: Mapping[str, SignalDecoder],
    *,
    as_json: bool,
    log: bool,
    stamps: Stamps,
    with_text: bool = False,
) -> Callable[[str, Frame], str]:
    """Return the function that makes a line of a source's label and a frame; labels have at most `width` characters.

    `decoders` has the decoder of each source with signals, by its label.
    """
    if as_json:
        return lambda label, frame: json.dumps(frame_json(label, frame, decoders.get(label)))
    writer = CandumpWriter(width, log=log, stamps=stamps, with_text=with_text)
    if not decoders:
        return writer.line
    from cancorderd.signals.signal_decoder import signal_text

    def line(label: str, frame: Frame) -> str:
        decoder = decoders.get(label)
        decoded = decoder.decode(frame) if decoder else None
        return writer.line(label, frame) + (signal_text(decoded) if decoded else "")

    return line


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
