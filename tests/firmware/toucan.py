"""The museum of TouCAN adapters: scripts for an emulated libUVCANTOU."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cancorderd.adapters.toucan import can_api
from tests.firmware import frame_account
from tests.firmware.exhibit import Exhibit, Outcome
from tests.firmware.frame_account import EVERY_FRAME
from tests.firmware.source_visit import SourceVisit, visit_source
from tests.support.settings import valid_settings
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TITLE = "TouCAN: adapters behind MacCAN's library"

_RATE = 200
_FRAMES = 60
_PATIENCE_S = 25.0
BUS_OFF_MESSAGE = (0, can_api.STS, 4, bytes([can_api.BUS_OFF, 0, 0, 0]))


def _nothing(_stage: Stage) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ToucanExhibit(Exhibit):
    """A script; the defaults are those of the library's manual."""

    words: Mapping[Word, int] = field(default_factory=dict)
    """Words of the stage from the start."""
    then: Callable[[Stage], object] = _nothing
    """Happens when frames have arrived."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 1.0
    """For how long the source is read at least."""


def _status(bits: int) -> Callable[[Stage], object]:
    def change(stage: Stage) -> None:
        stage[Word.STATUS] = bits

    return change


def _bus_off(stage: Stage) -> None:
    stage.put(*BUS_OFF_MESSAGE)
    stage[Word.STATUS] = can_api.BUS_OFF


def _silent_bus_off(stage: Stage) -> None:
    stage[Word.RATE] = 0
    _bus_off(stage)


def _read_code(code: int, count: int) -> Callable[[Stage], object]:
    def change(stage: Stage) -> None:
        stage[Word.READ_CODE], stage[Word.READ_CODES] = code, count

    return change


def _passing_status(stage: Stage) -> None:
    stage[Word.STATUS_CODE] = can_api.E_TX_BUSY
    time.sleep(1.2)  # the status is asked for once a second; the third failure would end the bus
    stage[Word.STATUS_CODE] = 0


EXHIBITS = (
    ToucanExhibit(
        name="by the book",
        symptom="None: the manual of the library.",
        came=EVERY_FRAME,
    ),
    ToucanExhibit(
        name="unplugged in silence",
        symptom="Unplugged, it answers that no frame has arrived, for ever.",
        came="waiting; every frame, at its time",
        said="there is no TouCAN channel 0. Plug the adapter in, or correct channel.",
        then=Stage.unplug,
    ),
    ToucanExhibit(
        name="bus-off for ever",
        symptom="Bus-off stays in the status while frames go on.",
        came=EVERY_FRAME,
        said="errors counted",
        then=_bus_off,
        seconds=3.5,
    ),
    ToucanExhibit(
        name="really bus-off",
        symptom="Bus-off, and nothing follows.",
        came="backoff; every frame, at its time",
        said="TouCAN channel 0 is bus-off. Check bitrate, wiring and termination.; errors counted",
        then=_silent_bus_off,
        seconds=2.0,
    ),
    ToucanExhibit(
        name="overrun for ever",
        symptom="The flag of an overrun stays set after the first, and nothing counts them.",
        came=EVERY_FRAME,
        said="loss counted",
        words={Word.HAS_OVERRUNS: 0, Word.STATUS: can_api.QUEUE_OVERRUN},
        seconds=3.0,
    ),
    ToucanExhibit(
        name="busy",
        symptom="Now and then it is too busy to report its status.",
        came=EVERY_FRAME,
        then=_passing_status,
        seconds=3.0,
    ),
    ToucanExhibit(
        name="bus errors",
        symptom="A read returns the code of a bus error in place of a frame.",
        came=EVERY_FRAME,
        said="errors counted",
        then=_read_code(-13, 200),
    ),
    ToucanExhibit(
        name="impatient",
        symptom="Returns at once in place of waiting for a frame.",
        came=EVERY_FRAME,
        words={Word.IMPATIENT: 1},
    ),
    ToucanExhibit(
        name="wrapping clock",
        symptom="The clock's 32 bits start over while frames come.",
        came=EVERY_FRAME,
        words={Word.STAMP_START: (1 << 32) - 1_000_000},
        seconds=2.0,
    ),
    ToucanExhibit(
        name="fast clock",
        symptom="The clock counts twice as fast as it has to.",
        came=EVERY_FRAME,
        said="clock: …",
        words={Word.STAMP_PPM: 1_000_000},
        seconds=7.0,
    ),
    ToucanExhibit(
        name="no status messages",
        symptom="Has no mode for status messages.",
        came=EVERY_FRAME,
        words={Word.CAPABILITY: 0},
    ),
)  # fmt: skip


def observe(exhibit: Exhibit, folder: Path) -> Outcome:
    assert isinstance(exhibit, ToucanExhibit)
    tempfile.tempdir = str(folder)  # the library is built in a temporary folder
    with Stage(folder) as stage:
        os.environ["TOUCAN_STAGE"] = stage.file
        stage[Word.RATE] = _RATE
        for word, value in exhibit.words.items():
            stage[word] = value
        visit = _visit(exhibit, stage)
    return Outcome(frame_account.came(visit, _sent_us(visit)), frame_account.said(visit))


def _visit(exhibit: ToucanExhibit, stage: Stage) -> SourceVisit:
    began_s = time.monotonic()
    acted_at: list[int] = []
    """The number of frames before the deed."""

    def enough(visit: SourceVisit) -> bool:
        if not acted_at and len(visit.frames) >= _FRAMES // 2:
            exhibit.then(stage)
            acted_at.append(len(visit.frames))
        lasted = time.monotonic() - began_s >= exhibit.seconds
        if not acted_at or not lasted:
            return False
        return frame_account.complete(exhibit, visit, acted_at[0] + _FRAMES)

    keys = {"library": stage.library, **exhibit.keys}
    return visit_source(valid_settings("toucan", **keys), enough, _PATIENCE_S)


def _sent_us(visit: SourceVisit) -> Callable[[int], int]:
    """Return the time at which each frame was sent: they have a rate, and the first stamp is checked against the clock."""
    if not visit.frames:
        return lambda _number: 0
    first = visit.frames[0]
    number = int.from_bytes(first.data[:8])
    began_us = first.timestamp_us - number * 1_000_000 // _RATE
    return lambda at: began_us + at * 1_000_000 // _RATE
