"""Numbered frames, sent on a bus at a rate, and the check that each arrived once and in order."""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.frame import Frame

ID = 0x123


class Sender:
    """Calls `send(number)` `rate` times a second, from 0 on, while the `with` block runs."""

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


def numbers(frames: list[Frame]) -> list[int]:
    return [struct.unpack(">I", frame.data[:4])[0] for frame in frames if frame.arbitration_id == ID]


def assert_consecutive(frames: list[Frame]) -> None:
    """None lost, none twice, none out of order."""
    found = numbers(frames)
    assert found, "no numbered frame at all"
    wrong = next((at for at, number in enumerate(found) if number != found[0] + at), None)
    assert wrong is None, f"after {found[wrong - 1]} came {found[wrong]}"


def slcan_line(number: int) -> bytes:
    return b"t1238%08X00000000\r" % number
