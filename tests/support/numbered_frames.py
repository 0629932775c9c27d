"""Numbered frames: sent at a rate, and the check that each of them arrived once and in order."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cancorderd.protocol.frame import Frame

ARBITRATION_ID = 0x123


class Sender:
    """Calls `send(number)` `rate` times a second, from 0 on, until the `with` block ends."""

    def __init__(self, send: Callable[[int], None], rate: float) -> None:
        self.sent = 0
        self._send = send
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(0.001):
            due = int((time.monotonic() - started) * self._rate)
            while self.sent < due:
                self._send(self.sent)
                self.sent += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.sent


def slcan_line(number: int) -> bytes:
    """Return the frame with this number as an slcan adapter writes it."""
    return b"t1238%016X\r" % number


def number(frame: Frame) -> int:
    """Return the number that fills the payload, big-endian; the mock bus's flood has the same format."""
    assert len(frame.data) == 8, frame
    return int.from_bytes(frame.data)


def numbers(frames: Iterable[Frame]) -> list[int]:
    return [number(frame) for frame in frames]


def assert_consecutive(frames: Iterable[Frame]) -> None:
    """Assert that no frame is lost, doubled or out of order; the first may have any number."""
    found = numbers(frames)
    assert found, "no numbered frame at all"
    wrong = next((index for index, number in enumerate(found) if number != found[0] + index), None)
    assert wrong is None, f"{found[wrong]} follows {found[wrong - 1]}"


def mistakes(numbers: Iterable[int], count: int) -> str:
    """Return the differences from 0, 1 ... `count` - 1 in words; empty if there are none."""
    found = list(numbers)
    if found == list(range(count)):
        return ""
    lost = sorted(set(range(count)) - set(found))
    doubled = len(found) - len(set(found))
    late = sum(b < a for a, b in itertools.pairwise(found))
    return (
        f"{len(found)} of {count}: {len(lost)} lost (from {lost[:3]}), {doubled} doubled, {late} out of order"
    )
