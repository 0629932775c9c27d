"""mock: a bus without an adapter, on which a tester polls an ECU by OBD-II (SAE J1979, services 01 and 03).

`exchange` is pure: the frames of one request and its answer. `MockSource` below it plays them by the clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.frame import EXTENDED, MAX_STANDARD_ID, Batch, Frame
from cancorderd.sources.base import Counted
from cancorderd.sources.filters import acceptance
from cancorderd.wire import encode_all

if TYPE_CHECKING:
    from cancorderd.config.model import MockBus

_FUNCTIONAL_ID = 0x7DF
"""Where OBD-II requests to every ECU go (ISO 15765-4, 11-bit ids)."""
_PERIOD_S = 0.1
_ANSWER_US = 12_000
_PADDING = 0xCC


def exchange(count: int, ecu_id: int, now_us: int) -> list[Frame]:
    """The `count`th request and, 12 ms before `now_us` the one, at `now_us` the other, its answer."""
    values = _live_data(count)
    pid = sorted(values)[count % len(values)]
    request = [0x02, 0x01, pid]
    data = values[pid]
    answer = [2 + len(data), 0x41, pid, *data]
    flags = EXTENDED if ecu_id > MAX_STANDARD_ID else 0
    return [
        Frame(now_us - _ANSWER_US, _FUNCTIONAL_ID, 0, _padded(request)),
        Frame(now_us, ecu_id, flags, _padded(answer)),
    ]


def _padded(content: list[int]) -> bytes:
    return bytes(content).ljust(8, bytes([_PADDING]))


def _live_data(count: int) -> dict[int, bytes]:
    """PID to value bytes, scaled as SAE J1979 says, of an engine that warms up."""
    quarter_rpm = 4 * (800 + count * 7 % 2400)
    return {
        0x04: bytes([count % 256]),
        0x05: bytes([40 + min(90, 20 + count // 10)]),
        0x0C: quarter_rpm.to_bytes(2),
        0x0D: bytes([count // 4 % 130]),
        0x11: bytes([count * 3 % 256]),
        0x2F: bytes([max(0, 200 - count // 100)]),
    }


def open_source(section: MockBus) -> MockSource:
    return MockSource(section)


class MockSource(Counted):
    """Plays an exchange each 100 ms (divided by `speed`), from the first client on or always."""

    def __init__(self, section: MockBus) -> None:
        super().__init__()
        self._section = section
        self._accepts = acceptance(section.filters)
        self._count = 0
        self._due_s: float | None = time.monotonic() if section.start == "always" else None

    def due(self, now_s: float) -> float | None:
        return None if self._due_s is None else max(0.0, self._due_s - now_s)

    def read(self, now_s: float) -> Batch:
        if self._due_s is None or now_s < self._due_s:
            return Batch(b"", 0)
        self._due_s = max(self._due_s, now_s - 1.0) + _PERIOD_S / self._section.speed
        frames = [
            one
            for one in exchange(self._count, self._section.ecu_id, time.time_ns() // 1000)
            if self._accepts(one.arbitration_id, bool(one.flags & EXTENDED))
        ]
        self._count += 1
        return Batch(encode_all(frames), len(frames))

    def audience(self, clients: int, now_s: float) -> None:
        if clients and self._due_s is None:
            self._due_s = now_s
        elif not clients and self._section.start == "client":
            self._due_s = None

    def close(self) -> None:
        self._due_s = None
