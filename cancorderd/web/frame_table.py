"""The live frames of a bus: a row per arbitration id, from packets to what a page shows. Pure.

`FrameTable` takes the packets of a bus and keeps the last payload of each id, its count, its period and its jitter.
`Ticks` has what changed lately. A page that is slow gets fewer updates, not older ones: bits that changed meanwhile
stay marked.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

from cancorderd.protocol.frame import ERROR, EXTENDED, FD_MAX_LENGTH, REMOTE
from cancorderd.protocol.packets import HEADER, WireError

MOST_ROWS = 2048
"""A busy vehicle has some 300 ids; noise or a fuzzer has any number, and no page shows them."""
MOST_TICKS = 50
"""Ticks that are remembered, 5 s: a page that is further behind gets every row."""
_SMOOTHING = 16
"""Intervals over which period and jitter are averaged, with exponential weights."""
_LONGEST_GAP_US = 10_000_000
"""After a longer silence the averages start over; else an id that pauses would show a wrong period for a minute."""

Key: TypeAlias = int
"""Arbitration id and kind of a row; see `row_key`."""
_KIND_SHIFT = 32

RowUpdate: TypeAlias = list[str | int | float | None]
"""Name of the id, flags, payload (hex), changed bits (hex; empty if none), count, period and jitter (ms; null until known)."""


def row_key(arbitration_id: int, flags: int) -> Key:
    """Return the key of an id's row. Remote frames of an id have a row of their own."""
    return (flags & (EXTENDED | REMOTE)) << _KIND_SHIFT | arbitration_id


def key_text(key: Key) -> str:
    """Return the id as candump writes it: three digits, or eight for 29 bits; with R for remote frames."""
    kind, arbitration_id = key >> _KIND_SHIFT, key & 0xFFFF_FFFF
    digits = f"{arbitration_id:08X}" if kind & EXTENDED else f"{arbitration_id:03X}"
    return f"{digits}R" if kind & REMOTE else digits


class _Row:
    """What is known about an id. Times are microseconds."""

    __slots__ = ("changed", "count", "data", "ever", "flags", "last_us", "mean_us", "samples", "variance")

    def __init__(self, stamp_us: int, flags: int, data: bytes) -> None:
        self.flags = flags
        self.data = data
        self.changed = 0
        """Bits of the payload that changed since the last `updates`, the first byte highest."""
        self.ever = 0
        """Bits that changed before that, since the row exists."""
        self.count = 1
        self.last_us = stamp_us
        self.samples = 0
        self.mean_us = 0.0
        self.variance = 0.0

    def interval(self, interval_us: int) -> None:
        """Count an interval between two frames in the averages."""
        if not 0 <= interval_us <= max(_LONGEST_GAP_US, 10 * self.mean_us):
            self.samples = 0
            self.mean_us = self.variance = 0.0
            return
        self.samples = min(self.samples + 1, _SMOOTHING)
        weight = 1 / self.samples
        difference = interval_us - self.mean_us
        self.mean_us += weight * difference
        self.variance = (1 - weight) * (self.variance + weight * difference * difference)

    def update(self, key: Key, changed: int) -> RowUpdate:
        period, jitter = None, None
        if self.samples:
            period = round(self.mean_us / 1000, 2)
            jitter = round(math.sqrt(self.variance) / 1000, 2)
        # A payload may have become shorter since its bits changed.
        changed &= (1 << 8 * len(self.data)) - 1
        bits = f"{changed:0{2 * len(self.data)}X}" if changed else ""
        return [key_text(key), self.flags, self.data.hex().upper(), bits, self.count, period, jitter]


class FrameTable:
    """The rows of a bus."""

    def __init__(self) -> None:
        self._rows: dict[Key, _Row] = {}
        self._touched: dict[Key, None] = {}
        """Rows with news since the last `updates`, in the order of arrival."""
        self._rest = b""
        self.errors = 0
        """Error frames so far."""
        self.left_out = 0
        """Frames of ids for which there was no room."""

    def receive(self, data: bytes) -> None:
        """Count whole packets; the rest waits for more bytes. Raises WireError if the stream cannot be trusted."""
        buffer = self._rest + data if self._rest else data
        rows, touched, unpack, size = self._rows, self._touched, HEADER.unpack_from, HEADER.size
        position, end = 0, len(buffer)
        while end - position >= size:
            stamp_us, arbitration_id, flags, length = unpack(buffer, position)
            if length > FD_MAX_LENGTH:
                raise WireError(
                    f"length byte is {length}; a CAN FD frame holds at most {FD_MAX_LENGTH} bytes"
                )
            start = position + size
            stop = start if flags & REMOTE else start + length
            if stop > end:
                break
            payload = buffer[start:stop]
            position = stop
            if flags & ERROR:
                self.errors += 1
                continue
            key = (flags & (EXTENDED | REMOTE)) << _KIND_SHIFT | arbitration_id
            row = rows.get(key)
            if row is None:
                if len(rows) >= MOST_ROWS:
                    self.left_out += 1
                    continue
                rows[key] = _Row(stamp_us, flags, payload)
            else:
                if payload != row.data:
                    row.changed = _merged(row.changed, row.data, payload)
                    row.data = payload
                row.flags = flags
                row.count += 1
                row.interval(stamp_us - row.last_us)
                row.last_us = stamp_us
            touched[key] = None
        self._rest = bytes(buffer[position:])

    def restart_stream(self) -> None:
        """Forget the bytes of an incomplete packet: the connection is a new one."""
        self._rest = b""

    def updates(self) -> dict[Key, int]:
        """Return the rows with news since the last call, and the bits of each that changed meanwhile."""
        rows = self._rows
        found = {key: rows[key].changed for key in self._touched}
        for key, changed in found.items():
            rows[key].ever |= changed
            rows[key].changed = 0
        self._touched.clear()
        return found

    def row(self, key: Key, changed: int) -> RowUpdate:
        """Return a row as it is sent."""
        return self._rows[key].update(key, changed)

    def all_rows(self) -> list[RowUpdate]:
        """Return every row as it is sent to a page that has none; its changed bits are those that ever changed."""
        return [row.update(key, row.ever | row.changed) for key, row in self._rows.items()]

    def payload(self, key: Key) -> tuple[int, bytes] | None:
        """Return flags and last payload of an id; None if it has not been seen."""
        row = self._rows.get(key)
        return (row.flags, row.data) if row else None


def _merged(changed: int, before: bytes, after: bytes) -> int:
    """Return the changed bits once `before` has become `after`. After a change of length, every bit counts as changed."""
    if len(before) != len(after):
        return (1 << 8 * len(after)) - 1
    return changed | int.from_bytes(before) ^ int.from_bytes(after)


class Ticks:
    """The rows with news of the latest ticks, for pages that have been sent an earlier one."""

    def __init__(self) -> None:
        self.latest = 0
        """Number of the latest tick."""
        self._updates: deque[dict[Key, int]] = deque(maxlen=MOST_TICKS)

    def add(self, updates: dict[Key, int]) -> None:
        self._updates.append(updates)
        self.latest += 1

    def since(self, tick: int) -> dict[Key, int] | None:
        """Return the rows with news after a tick, and the bits of each that changed; None if it is too long ago."""
        missed = self.latest - tick
        if missed > len(self._updates):
            return None
        found: dict[Key, int] = {}
        for updates in list(self._updates)[len(self._updates) - missed :]:
            for key, changed in updates.items():
                found[key] = found.get(key, 0) | changed
        return found
