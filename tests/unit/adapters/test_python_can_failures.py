"""Drivers of python-can that raise, return nonsense or do not wait: frames behind a failure arrive."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters import python_can, read_failures
from cancorderd.adapters.failures import BusError
from cancorderd.adapters.registry import open_source
from tests.support.harness import PATIENCE_S, poll
from tests.support.source_reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cancorderd.adapters.base import Source

Item = Any
"""A message to return, an exception to raise, or None: nothing arrives."""


class Scripted(can.BusABC):
    """Returns or raises the items of a script, one at each read, and is silent afterwards."""

    def __init__(self, script: Iterator[Item], *, waits: bool = True, every_s: float = 0.0) -> None:
        self._is_shutdown = True
        self._script = script
        self._waits = waits
        self._every_s = every_s
        self.reads = 0

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError

    def recv(self, timeout: float | None = None) -> can.Message | None:
        self.reads += 1
        time.sleep(self._every_s)
        item = next(self._script, None)
        if isinstance(item, BaseException):
            raise item
        if item is None and self._waits:
            time.sleep(min(timeout or 0.0, 0.01))
        return item


@pytest.fixture
def play(
    make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Source]]:
    sources: list[Source] = []

    def opened(script: Iterable[Item], **about: Any) -> Source:
        monkeypatch.setattr(can, "Bus", lambda **_: Scripted(iter(script), **about))
        sources.append(open_source(make_settings("virtual", channel="x")))
        return sources[-1]

    yield opened
    for source in sources:
        source.close()


def message(number: int) -> can.Message:
    return can.Message(arbitration_id=number, is_extended_id=False, data=number.to_bytes(2))


def numbered(count: int, *between: Item) -> Iterator[Item]:
    for number in range(count):
        yield from between
        yield message(number)


BUS_ERROR = can.CanOperationError("bus error", 2)


@pytest.mark.parametrize(
    "between",
    [
        [BUS_ERROR],
        [BUS_ERROR, BUS_ERROR, BUS_ERROR],
        [ValueError("unknown message type")],
        [OSError(5, "Input/output error")],
        [SystemExit("driver")],
        [BUS_ERROR, None],
    ],
    ids=["once", "three times", "ValueError", "EIO", "SystemExit", "and silence"],
)
def test_every_frame_between_failures_arrives(play: Callable[..., Source], between: list[Item]) -> None:
    source = play(numbered(100, *between))
    frames = frames_of(source, 100)
    assert [frame.arbitration_id for frame in frames] == list(range(100))
    failures = [item for item in between if item is not None]
    assert source.error_frames == 100 * len(failures)
    assert source.details["read_error"] == str(failures[-1])
    assert len(source.notices) == 1
    assert "Reading goes on" in source.notices[0][1]


def test_failure_behind_frames_of_the_same_read_is_counted(play: Callable[..., Source]) -> None:
    source = play([message(0), message(1), BUS_ERROR, message(2)])
    assert [frame.arbitration_id for frame in frames_of(source, 3)] == [0, 1, 2]
    assert source.error_frames == 1


def failure_of(source: Source) -> tuple[int, str]:
    """Return the frames up to the failure, and its text."""
    frames = 0
    with pytest.raises(BusError) as failure:
        while True:
            frames += len(read_until(source, lambda: True))
    return frames, str(failure.value)


def endless(item: Item) -> Iterator[Item]:
    while True:
        yield item


def test_driver_that_only_fails_is_opened_again(play: Callable[..., Source]) -> None:
    def script() -> Iterator[Item]:
        yield message(1)
        yield from endless(BUS_ERROR)

    source = play(script())
    began_s = time.monotonic()
    frames, reason = failure_of(source)
    assert (frames, "bus error" in reason) == (1, True)
    assert time.monotonic() - began_s >= read_failures.FAILING_S
    assert 5 < source.error_frames < 2000, "the pauses grow"


def test_driver_that_is_gone_is_opened_again_at_once_after_its_frames(
    play: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_failures, "FAILING_S", 1e9)
    monkeypatch.setattr(read_failures, "SILENT_S", 1e9)
    assert failure_of(play([message(1), message(2), OSError(19, "No such device")]))[0] == 2


def test_driver_that_is_silent_for_ever_after_a_failure_is_opened_again(
    play: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_failures, "SILENT_S", 0.2)
    assert failure_of(play([message(1), BUS_ERROR])) == (
        1,
        "virtual: no more frames: bus error [Error Code 2]. Check the adapter and its wiring.",
    )


def strange(**attributes: Any) -> can.Message:
    found = message(7)
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    "item",
    [
        strange(arbitration_id=None),
        strange(arbitration_id=-1),
        strange(data=None),
        "no message",
        object(),
    ],
    ids=["no id", "negative id", "no data", "a text", "an object"],
)
def test_message_that_is_none_is_counted_and_costs_no_other(play: Callable[..., Source], item: Item) -> None:
    source = play([message(0), item, message(1)])
    assert [frame.arbitration_id for frame in frames_of(source, 2)] == [0, 1]
    assert source.error_frames == 1


@pytest.mark.parametrize("stamp_s", [None, float("nan"), float("inf"), -1.0])
def test_stamp_that_is_no_time_costs_the_stamp_alone(
    play: Callable[..., Source], stamp_s: float | None
) -> None:
    source = play([message(0), strange(timestamp=stamp_s), message(1)])
    began_us = time.time_ns() // 1000
    frames = frames_of(source, 3)
    assert [frame.arbitration_id for frame in frames] == [0, 7, 1]
    assert 0 <= frames[1].timestamp_us - began_us + 1_000_000 < 1_000_000 * PATIENCE_S
    assert source.error_frames == 0


def test_driver_that_does_not_wait_costs_little_processor(play: Callable[..., Source]) -> None:
    source = play(endless(None), waits=False)
    bus = source._bus  # type: ignore[attr-defined]
    poll(lambda: bus.reads > 0, what="the first read")
    first, began_s = bus.reads, time.monotonic()
    poll(lambda: time.monotonic() - began_s > 0.3, what="a while")
    assert bus.reads - first < 500 * (time.monotonic() - began_s)


def test_endless_error_frames_do_not_keep_the_data_frames_back(play: Callable[..., Source]) -> None:
    def script() -> Iterator[Item]:
        yield message(1)
        yield from endless(can.Message(is_error_frame=True))

    assert [frame.arbitration_id for frame in frames_of(play(script(), waits=False), 1)] == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt("driver"), GeneratorExit("driver")])
def test_frames_before_an_exception_that_ends_the_thread_are_delivered(
    play: Callable[..., Source], error: BaseException
) -> None:
    source = play([message(0), message(1), error])
    frames = 0

    def read() -> None:
        nonlocal frames
        frames += source.read(time.monotonic()).frames

    with pytest.raises(BusError, match="the driver ended its thread: driver"):
        poll(read, what="the end of the bus")
    assert frames == 2


def test_driver_that_never_returns_ends_the_bus_after_its_last_frames(
    play: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, returns = threading.Event(), threading.Event()
    script = iter([message(0), message(1)])

    def recv(_bus: Scripted, _timeout: float) -> can.Message | None:
        if found := next(script, None):
            return found
        stuck.set()
        returns.wait()
        return None

    monkeypatch.setattr(Scripted, "recv", recv)
    source = play([])
    try:
        assert stuck.wait(PATIENCE_S)
        began_s = time.monotonic()
        looks_s = [began_s + 1.1 * look for look in range(11)]  # the last one alone is beyond 10 s
        frames = [source.read(look_s).frames for look_s in looks_s]
        assert sum(frames) == 2
        due_s = source.due(began_s + 12)
        assert due_s == 0, "the bus ends at once"
        with pytest.raises(BusError, match=r"the driver has not returned from a read for 1[0-2] s"):
            source.read(began_s + 12)
    finally:
        returns.set()


def test_driver_that_always_waits_for_its_next_frame_holds_none_back(play: Callable[..., Source]) -> None:
    source = play(numbered(500), every_s=0.01)
    bus = source._bus  # type: ignore[attr-defined]
    assert frames_of(source, 1)[0].arbitration_id == 0
    assert bus.reads < 250


def test_a_driver_that_hangs_or_raises_while_it_is_closed_does_not_keep_the_worker(
    play: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = threading.Event()
    called = []

    def hang(self: Scripted) -> None:
        called.append(self)
        returns.wait(PATIENCE_S)
        sys.exit("the driver ends the program")

    monkeypatch.setattr(Scripted, "shutdown", hang)
    monkeypatch.setattr(python_can, "_CLOSE_S", 0.05)
    source = play([message(1)])
    assert len(frames_of(source, 1)) == 1
    began_s = time.monotonic()
    source.close()
    assert called
    assert time.monotonic() - began_s < PATIENCE_S / 2
    returns.set()
