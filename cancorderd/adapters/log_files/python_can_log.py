"""Logs that only python-can can read: .mf4, and the formats of its plug-ins. An unreadable place ends them."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import SettingsRefused
from cancorderd.adapters.log_files.entries import Flaw, Kind, LogFrame
from cancorderd.printable import error_text
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD
from cancorderd.python_packages import install_command, is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import can

MF4_MAGICS = (b"MDF     ", b"UnFinMF ")


def has_plug_in(suffix: str) -> bool:
    """Return whether a plug-in of python-can reads files with this suffix."""
    return bool(suffix) and any(point.name == suffix for point in entry_points(group="can.io.message_reader"))


def require_reader(path: str, suffix: str) -> None:
    """Raise SettingsRefused if the package that reads the file is missing."""
    if not has_plug_in(suffix) and not is_installed("asammdf"):
        raise SettingsRefused(
            f"{path}: reading .mf4 needs the Python package asammdf, which is not installed. Install it "
            f"({install_command('asammdf')}), or convert the log into .blf."
        )


def python_can_entries(path: str) -> Iterator[LogFrame | Flaw]:
    """Yield the frames of a log."""
    import can  # noqa: PLC0415 - slow, and needed for these formats alone

    number = 0
    try:
        with can.LogReader(path) as reader:
            for number, message in enumerate(reader, 1):
                yield _frame(number, message)
    except Exception as error:  # noqa: BLE001 - a reader may raise anything for a damaged file
        yield Flaw(number + 1, f"unreadable from here ({error_text(error)})")


def _frame(number: int, message: can.Message) -> LogFrame:
    kind = Kind.DATA
    if message.is_error_frame:
        kind = Kind.ERROR
    elif message.is_remote_frame:
        kind = Kind.REMOTE
    flags = EXTENDED if message.is_extended_id else 0
    if message.is_fd:
        flags |= FD | (BRS if message.bitrate_switch else 0) | (ESI if message.error_state_indicator else 0)
    channel = "" if message.channel is None else str(message.channel)
    return LogFrame(
        number,
        message.timestamp,
        kind,
        message.arbitration_id,
        flags,
        bytes(message.data),
        channel,
        message.dlc,
    )
