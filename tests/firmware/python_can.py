"""The museum of python-can's drivers: a class in place of the driver, read by the real source."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import can

from tests.firmware import frame_account
from tests.firmware.exhibit import Exhibit, Outcome
from tests.firmware.frame_account import EVERY_FRAME
from tests.firmware.source_visit import SourceVisit, visit_source
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TITLE = "python-can: drivers of other interfaces"

_RATE = 200
_FRAMES = 60
_PATIENCE_S = 25.0
_YEARS_28_S = 28 * 365.25 * 86400

BUS_ERROR = can.CanOperationError("bus error", 4)
"""4 is a manufacturer's code."""


def _nothing(_number: int) -> Iterator[Any]:
    return iter(())


@dataclass(frozen=True, kw_only=True)
class DriverExhibit(Exhibit):
    """A driver; the defaults are those of python-can's manual."""

    before_frame: Callable[[int], Iterator[Any]] = _nothing
    """What reads return, or raise, before the frame with this number."""
    dies_at: int | None = None
    """The number of the frame in place of which the first driver raises, and is silent from then on."""
    waits: bool = True
    """Whether a read waits for a frame; if not, it returns None at once."""
    stamp: Callable[[float], float | None] = lambda now_s: now_s
    """The stamp for the time since the epoch in seconds."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 1.0
    """For how long the source is read at least."""


class Wire:
    """Numbered frames at a rate, from the moment at which the first driver was opened."""

    def __init__(self) -> None:
        self.began_s: float | None = None
        self.taken = 0
        self.openings = 0
        self.sent_us: dict[int, int] = {}

    def next_number(self) -> int | None:
        """Return the number of the next frame that has arrived, or None."""
        assert self.began_s is not None
        if self.taken >= (time.monotonic() - self.began_s) * _RATE:
            return None
        self.taken += 1
        return self.taken - 1


class Driver(can.BusABC):
    """The driver of an exhibit."""

    def __init__(self, exhibit: DriverExhibit, wire: Wire) -> None:
        self._is_shutdown = True
        self._exhibit, self._wire = exhibit, wire
        self._queue: list[Any] = []
        self._dead = False
        wire.openings += 1
        self._opening = wire.openings
        wire.began_s = wire.began_s or time.monotonic()

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError

    def recv(self, timeout: float | None = None) -> can.Message | None:
        end_s = time.monotonic() + (timeout or 0.0)
        while not self._queue:
            self._gather()
            if not self._queue and (time.monotonic() >= end_s or not self._exhibit.waits):
                return None
            if not self._queue:
                time.sleep(0.001)
        item = self._queue.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item  # type: ignore[no-any-return]

    def _gather(self) -> None:
        if self._opening == 1 and self._wire.taken == self._exhibit.dies_at:
            self._queue += [] if self._dead else [BUS_ERROR]
            self._dead = True
            return
        number = self._wire.next_number()
        if number is None:
            return
        now_s = time.time()
        self._wire.sent_us[number] = round(now_s * 1e6)
        message = can.Message(arbitration_id=0x100, is_extended_id=False, data=number.to_bytes(8))
        message.timestamp = self._exhibit.stamp(now_s)  # type: ignore[assignment]
        self._queue += [*self._exhibit.before_frame(number), message]


def _strange_messages(number: int) -> Iterator[Any]:
    if number % 10 == 0:
        yield "not a message"
        yield can.Message(arbitration_id=0x7FF, is_extended_id=False, data=bytes(12), dlc=12)
        yield can.Message(is_error_frame=True)


EXHIBITS = (
    DriverExhibit(
        name="by the book",
        symptom="None: the manual's contract of a driver.",
        came=EVERY_FRAME,
    ),
    DriverExhibit(
        name="raises",
        symptom="Raises at each bus error, and delivers the next frame as if nothing had happened.",
        came=EVERY_FRAME,
        said="read_error: bus error …; errors counted",
        before_frame=lambda number: iter([BUS_ERROR] * (number % 2)),
    ),
    DriverExhibit(
        name="raises between frames",
        symptom="Raises several times in a row while the bus is disturbed.",
        came=EVERY_FRAME,
        said="read_error: bus error …; errors counted",
        before_frame=lambda number: iter([BUS_ERROR] * 7 * (number % 20 == 10)),
    ),
    DriverExhibit(
        name="dead after an error",
        symptom="Raises once and is silent for ever; opening it again helps.",
        came=EVERY_FRAME,
        said="errors counted",
        dies_at=40,
        seconds=7.0,
    ),
    DriverExhibit(
        name="gone",
        symptom="The device is gone: each read raises the system's error.",
        came="backoff; every frame, at its time",
        said="[Errno 19] No such device. …; read_error: …; errors counted",
        before_frame=lambda number: iter([OSError(19, "No such device")] * (number >= 40)),
    ),
    DriverExhibit(
        name="exits",
        symptom="Calls sys.exit() at a message that it does not know.",
        came=EVERY_FRAME,
        said="read_error: 1; errors counted",
        before_frame=lambda number: iter([SystemExit(1)] * (number % 20 == 10)),
    ),
    DriverExhibit(
        name="nonsense",
        symptom="Returns objects that are no messages, impossible lengths, and error frames.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=_strange_messages,
    ),
    DriverExhibit(
        name="impatient",
        symptom="Returns at once in place of waiting for a frame.",
        came=EVERY_FRAME,
        waits=False,
    ),
    DriverExhibit(
        name="28 years ahead",
        symptom="Stamps count from another epoch than stated.",
        came=EVERY_FRAME,
        said="…",
        stamp=lambda now_s: now_s + _YEARS_28_S,
        seconds=7.0,
    ),
    DriverExhibit(
        name="without stamps",
        symptom="All stamps are 0.",
        came=EVERY_FRAME,
        stamp=lambda _now_s: 0.0,
    ),
    DriverExhibit(
        name="no stamp at all",
        symptom="The stamp is None.",
        came=EVERY_FRAME,
        stamp=lambda _now_s: None,
    ),
)  # fmt: skip


def observe(exhibit: Exhibit, _folder: Path) -> Outcome:
    assert isinstance(exhibit, DriverExhibit)
    wire = Wire()
    can.Bus = lambda **_: Driver(exhibit, wire)
    began_s = time.monotonic()

    def enough(visit: SourceVisit) -> bool:
        lasted = time.monotonic() - began_s >= exhibit.seconds
        return lasted and frame_account.complete(exhibit, visit, _FRAMES)

    visit = visit_source(valid_settings("virtual", channel="museum", **exhibit.keys), enough, _PATIENCE_S)
    return Outcome(frame_account.came(visit, wire.sent_us), frame_account.said(visit))
