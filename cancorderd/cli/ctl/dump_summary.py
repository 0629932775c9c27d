"""The ids of a dump: how many frames each had, how often, and when the first and the last came. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.cli.ctl.candump_format import identifier
from cancorderd.cli.ctl.text_table import Table
from cancorderd.protocol.frame import ERROR, EXTENDED

if TYPE_CHECKING:
    from cancorderd.protocol.frame import Frame

MOST_IDS = 10_000
"""Ids that are counted each; a bus has some hundred, random ones are without end."""
_HEADER = ("BUS", "ID", "COUNT", "RATE", "FIRST", "LAST")
_OTHERS = "others"


@dataclass(slots=True)
class _Count:
    first_us: int
    last_us: int
    sample: Frame | None
    """One of the frames; None for the ids that are not counted each."""
    frames: int = 0

    def add(self, stamp_us: int) -> None:
        self.frames += 1
        self.first_us = min(self.first_us, stamp_us)
        self.last_us = max(self.last_us, stamp_us)

    @property
    def per_second(self) -> float | None:
        """Frames per second between the first and the last; None for a single moment."""
        span_us = self.last_us - self.first_us
        return (self.frames - 1) * 1_000_000 / span_us if span_us else None


class DumpSummary:
    """Counts of each id of each bus."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def add(self, label: str, frame: Frame) -> None:
        key = label, identifier(frame)
        count = self._counts.get(key)
        if count is None:
            sample: Frame | None = frame
            if len(self._counts) >= MOST_IDS:
                key, sample = (label, _OTHERS), None
            count = self._counts.setdefault(key, _Count(frame.timestamp_us, frame.timestamp_us, sample))
        count.add(frame.timestamp_us)

    def table(self) -> Table:
        """Return a row for each id. FIRST and LAST are seconds since the first frame of all."""
        began_us = min((count.first_us for count in self._counts.values()), default=0)
        rows = [
            (
                label,
                name,
                str(count.frames),
                "-" if count.per_second is None else f"{count.per_second:.1f}/s",
                f"{(count.first_us - began_us) / 1_000_000:.3f}s",
                f"{(count.last_us - began_us) / 1_000_000:.3f}s",
            )
            for (label, name), count in self._sorted()
        ]
        return Table(_HEADER, rows)

    def as_json(self) -> list[dict[str, object]]:
        """Return an object for each id, with times in seconds since the epoch."""
        return [
            {
                "bus": label,
                "id": count.sample.arbitration_id if count.sample else None,
                "extended": bool(count.sample and count.sample.flags & EXTENDED),
                "error_frame": bool(count.sample and count.sample.flags & ERROR),
                "count": count.frames,
                "per_second": count.per_second and round(count.per_second, 3),
                "first": count.first_us / 1_000_000,
                "last": count.last_us / 1_000_000,
            }
            for (label, _), count in self._sorted()
        ]

    def _sorted(self) -> list[tuple[tuple[str, str], _Count]]:
        """Return the counts by bus; standard ids stand before extended ones, the rest at the end."""
        return sorted(
            self._counts.items(),
            key=lambda item: (item[0][0], item[0][1] == _OTHERS, len(item[0][1]), item[0][1]),
        )
