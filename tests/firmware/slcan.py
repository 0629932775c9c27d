"""The museum of slcan firmware: emulated boards on real pseudo-terminals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.firmware import frame_account
from tests.firmware.exhibit import Exhibit, Outcome
from tests.firmware.slcan_board import SlcanBoard, SlcanExhibit
from tests.firmware.slcan_exhibits import CLOCKS, FRAMES, NO_ADAPTERS, SET_UP
from tests.firmware.source_visit import SourceVisit, visit_source
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLE = "slcan: serial adapters"

_FRAMES = 40
_PATIENCE_S = 28.0

EXHIBITS = (*SET_UP, *FRAMES, *CLOCKS, *NO_ADAPTERS)


def observe(exhibit: Exhibit, _folder: Path) -> Outcome:
    assert isinstance(exhibit, SlcanExhibit)
    with SlcanBoard(exhibit) as board:
        keys: dict[str, Any] = {"channel": board.port, **exhibit.keys}
        settings = valid_settings("slcan", **keys)
        visit = visit_source(settings, _enough(exhibit), _PATIENCE_S)
        came = frame_account.came(visit, board.sent_us)
        return Outcome(came + _wrong_bitrate(board), frame_account.said(visit).replace(board.port, "PORT"))


def _enough(exhibit: SlcanExhibit) -> Callable[[SourceVisit], bool]:
    end_s = time.monotonic() + exhibit.seconds
    return lambda visit: time.monotonic() >= end_s and frame_account.complete(exhibit, visit, _FRAMES)


def _wrong_bitrate(board: SlcanBoard) -> str:
    """Return a warning if the board is open with another bitrate than its bus asks for."""
    if not board.is_open or board.bitrate == b"S6":
        return ""
    return f"; WITH {board.bitrate.decode()} IN PLACE OF S6"
