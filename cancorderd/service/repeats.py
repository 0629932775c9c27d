"""What a bus says over and over is told at once the first time, then summed up. Pure.

Time is an argument, in seconds on any clock. The first of a kind passes; its like are held and counted for
10 s and told as one line, then for a minute, ten minutes and an hour for as long as they go on. After a
window without any, or 90 s of silence, the next is a first one again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

WINDOWS_S = (10.0, 60.0, 600.0, 3600.0)
_SILENCE_S = 90.0
"""Longer than any delay between two tries (see `machine.Policy`)."""
_MOST_KINDS = 1000
"""Kinds remembered at a time; past that all are told and forgotten, so that memory has a bound."""
_DURATION = re.compile(r"\b\d+(\.\d+)?( ?m?s| min| h)\b")
_CLIENT_PORT = re.compile(r"(\d\]?):\d+ ")

T = TypeVar("T")


@dataclass
class _Kind(Generic[T]):
    began_s: float
    last_s: float
    window: int
    held: int
    last: T


@dataclass(frozen=True)
class Summary(Generic[T]):
    """`last` stands for `count` of its like within `seconds`."""

    last: T
    count: int
    seconds: float

    def words(self) -> str:
        """What to put behind the text: nothing for a single one, which was only late."""
        return f" ({self.count} times in {duration(self.seconds)})" if self.count > 1 else ""


class Repeats(Generic[T]):
    """`take` what is said; ask `due` about once a second, and `rest` at the end."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind[T]] = {}

    def take(self, kind: Hashable, what: T, now_s: float) -> bool:
        """True: tell it now. False: it is held, and `due` will tell of it."""
        known = self._kinds.get(kind)
        if known is None:
            self._kinds[kind] = _Kind(now_s, now_s, 0, 0, what)
            return True
        known.held += 1
        known.last, known.last_s = what, now_s
        # The order of the last occurrences is the order in which sums are told.
        self._kinds[kind] = self._kinds.pop(kind)
        return False

    def due(self, now_s: float) -> list[Summary[T]]:
        """The sums of all windows that have ended."""
        found = []
        full = len(self._kinds) > _MOST_KINDS
        for kind, known in list(self._kinds.items()):
            over = full or now_s - known.last_s >= _SILENCE_S
            seconds = now_s - known.began_s
            if seconds < WINDOWS_S[known.window] and not over:
                continue
            if known.held:
                found.append(Summary(known.last, known.held, seconds))
            if over or not known.held:
                del self._kinds[kind]
            else:
                known.began_s, known.held = now_s, 0
                known.window = min(known.window + 1, len(WINDOWS_S) - 1)
        return found

    def rest(self, now_s: float) -> list[Summary[T]]:
        """What is still held."""
        held = [one for one in self._kinds.values() if one.held]
        self._kinds.clear()
        return [Summary(one.last, one.held, now_s - one.began_s) for one in held]


def cause(text: str) -> str:
    """The text without what differs from one time to the next: durations, and the ports of clients."""
    return _CLIENT_PORT.sub(r"\1 ", _DURATION.sub("", text))


def duration(seconds: float) -> str:
    """Such as 60 s, 10 min, 1 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"
