"""The keys `from` and `to`: from which time stamp to which frames are wanted. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cancorderd.protocol.packets import MAX_TIMESTAMP_US

NOW, ALL = "now", "all"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 9000
"""Times are calculated with from here on, and `datetime` ends with the year 9999."""
_EXAMPLE = "2026-11-25T10:00:00Z"


class Span(NamedTuple):
    """A span of time stamps in microseconds, both ends included."""

    from_us: int = 0
    to_us: int = MAX_TIMESTAMP_US

    def holds(self, first_us: int, last_us: int) -> bool:
        """Whether all time stamps from the first to the last lie within the span."""
        return self.from_us <= first_us and last_us <= self.to_us


EVER = Span()


class MomentError(ValueError):
    """Text that names no moment, with the key that holds it."""

    def __init__(self, key: str, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}. {remedy}")
        self.key = key
        self.fact = fact
        self.remedy = remedy


class Wanted(NamedTuple):
    """The wanted part of a bus."""

    live: bool
    """Whether to begin with the next frame, and read nothing of the past."""
    span: Span

    @property
    def ends(self) -> bool:
        """Whether there is a last time stamp."""
        return self.span.to_us < EVER.to_us


def span_of(from_: str, to: str | None = None) -> Wanted:
    """Return what these two keys ask for. Raises MomentError."""
    from_us = EVER.from_us if from_ in (NOW, ALL) else moment_us("from", from_)
    to_us = EVER.to_us if to is None else moment_us("to", to)
    if to_us < from_us:
        raise MomentError("to", f'"{to}" is before from = "{from_}"', "Exchange the two.")
    return Wanted(from_ == NOW, Span(from_us, to_us))


def moment_us(key: str, text: str) -> int:
    """Return a moment in microseconds since the Unix epoch. Raises MomentError."""
    words = f'"{NOW}", "{ALL}" or a moment' if key == "from" else "a moment"
    remedy = f'Write {words} such as "{_EXAMPLE}".'
    shown = f'"{text[:40]}"'
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentError(key, f"{shown} is no moment", remedy) from error
    if moment.tzinfo is None:
        raise MomentError(
            key, f"{shown} has no time zone", f'Add Z for UTC, or an offset, as in "{_EXAMPLE}".'
        )
    if moment.year > _LAST_YEAR:
        raise MomentError(key, f"{shown} is too far away", remedy)
    since = moment - _EPOCH
    if since < timedelta(0):
        raise MomentError(key, f"{shown} is before 1970, where time stamps begin", remedy)
    return since // timedelta(microseconds=1)
