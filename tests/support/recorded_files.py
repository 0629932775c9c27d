"""Recordings as python-can reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import can

from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame

if TYPE_CHECKING:
    from pathlib import Path


def frame_of(message: can.Message) -> Frame:
    flags = EXTENDED if message.is_extended_id else 0
    if message.is_fd:
        flags |= FD | (BRS if message.bitrate_switch else 0) | (ESI if message.error_state_indicator else 0)
    return Frame(round(message.timestamp * 1e6), message.arbitration_id, flags, bytes(message.data))


def frames_in(path: Path) -> list[Frame]:
    """Return the frames of a recording, with times since the epoch."""
    more = {"relative_timestamp": False} if path.suffix == ".asc" else {}
    with can.LogReader(path, **more) as reader:
        return [frame_of(message) for message in reader]


def recorded(folder: Path) -> list[Frame]:
    """Return the frames of all recordings in a folder, file after file."""
    files = sorted(map(frames_in, folder.iterdir()), key=lambda frames: frames[0].timestamp_us)
    return [frame for frames in files for frame in frames]
