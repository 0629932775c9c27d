"""Reads a log as the replay's thread does, and writes logs with python-can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import can

from cancorderd.adapters.log_files.entries import Flaw, LogFrame
from cancorderd.adapters.log_files.log_file import open_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def frames_and_flaws(path: Path) -> tuple[list[LogFrame], list[Flaw]]:
    """Return everything that a log holds."""
    entries = list(open_log(str(path)).entries)
    return (
        [entry for entry in entries if isinstance(entry, LogFrame)],
        [entry for entry in entries if isinstance(entry, Flaw)],
    )


def payloads(path: Path) -> list[bytes]:
    """Return the bytes of every frame of a log."""
    return [frame.data for frame in frames_and_flaws(path)[0]]


def numbered(count: int) -> list[can.Message]:
    """Return messages a millisecond apart; each holds its number."""
    return [
        can.Message(
            timestamp=number / 1000,
            arbitration_id=0x100 + number % 7,
            is_extended_id=False,
            data=number.to_bytes(4, "big") * 2,
            channel=0,
        )
        for number in range(count)
    ]


def write(path: Path, messages: Iterable[can.Message]) -> Path:
    """Write a log in the format of its suffix."""
    with can.Logger(path) as writer:
        for message in messages:
            writer.on_message_received(message)
    return path
