"""Summaries of repeated log messages. Pure; time is an argument, in seconds on any clock.

The first `FIRST` messages of a kind in a window pass at once. Further ones are held, counted, and logged as a line
at the end of the window: of 10 s, then of a minute, ten minutes and an hour, for as long as messages come; kinds
whose news nobody may miss for long have shorter windows. After a window without any, or after 90 s of silence, the
windows start over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

FIRST = 5
"""A change that repeats a few times is seen at once and in order."""
WINDOWS_S = (10.0, 60.0, 600.0, 3600.0)
_SILENCE_S = 90.0
"""Longer than any delay between two attempts (see `state_machine.Policy`)."""
_MOST_KINDS = 1000
"""Bound for the memory: if there are more kinds, all are logged and forgotten."""
_DURATION = re.compile(r"\b\d+(\.\d+)?( ?m?s| min| h)\b")
_NUMBER = re.compile(r"#\d+")
_CLIENT_PORT = re.compile(r"(\d\]?):\d+ ")

T = TypeVar("T")


@dataclass
class _Window(Generic[T]):
    """The current window of a kind of message."""

    began_s: float
    last_s: float
    """Time of the latest message."""
    index: int
    """In WINDOWS_S."""
    longest_s: float
    """Bound of the windows of this kind."""
    passed: int
    held: int
    first: T
    """The first message that is held, or one that passed."""
    last: T
    follows: bool = False
    """Whether the window before had messages, too."""


@dataclass(frozen=True)
class Summary(Generic[T]):
    """The first and the last of `count` similar messages within `seconds`."""

    first: T
    last: T
    count: int
    seconds: float

    def suffix(self, time_of: Callable[[T], str]) -> str:
        """Return the text to append to the message; `time_of` returns when a message was written, for the reader."""
        if self.count == 1:
            return f" (once more in {duration(self.seconds)}, at {time_of(self.last)})"
        times = f"{self.count} more times in {duration(self.seconds)}"
        return f" ({times}, from {time_of(self.first)} to {time_of(self.last)})"


class RepeatedMessages(Generic[T]):
    """Holds repeated messages. Call `due` about once a second, and `rest` at the end."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, _Window[T]] = {}

    def passes(self, kind: Hashable, message: T, now_s: float, *, longest_s: float = WINDOWS_S[-1]) -> bool:
        """Return whether to log a message at once; otherwise it is held, for `longest_s` at most, and `due` counts it."""
        window = self._windows.get(kind)
        if window is None:
            self._windows[kind] = _Window(now_s, now_s, 0, longest_s, 1, 0, message, message)
            return True
        window.last, window.last_s = message, now_s
        if window.passed < FIRST:
            window.passed += 1
            return True
        if not window.held:
            window.first = message
        window.held += 1
        # Summaries are logged in the order of the latest messages.
        self._windows[kind] = self._windows.pop(kind)
        return False

    def due(self, now_s: float) -> list[Summary[T]]:
        """Return the summaries of all windows that have ended."""
        found = []
        full = len(self._windows) > _MOST_KINDS
        for kind, window in list(self._windows.items()):
            over = full or now_s - window.last_s >= _SILENCE_S
            seconds = now_s - window.began_s
            if seconds < min(WINDOWS_S[window.index], window.longest_s) and not over:
                continue
            if window.held:
                found.append(Summary(window.first, window.last, window.held, seconds))
            if over or window.passed <= (0 if window.follows else 1):
                del self._windows[kind]
            else:
                window.began_s, window.passed, window.held, window.follows = now_s, 0, 0, True
                window.index = min(window.index + 1, len(WINDOWS_S) - 1)
        return found

    def rest(self, now_s: float) -> list[Summary[T]]:
        """Return the summaries of all held messages, and forget everything."""
        held = [window for window in self._windows.values() if window.held]
        self._windows.clear()
        return [Summary(window.first, window.last, window.held, now_s - window.began_s) for window in held]


def cause(text: str) -> str:
    """Return the text without the parts that vary between repetitions: durations, numbers such as #7, clients' ports."""
    return _CLIENT_PORT.sub(r"\1 ", _NUMBER.sub("#", _DURATION.sub("", text)))


def duration(seconds: float) -> str:
    """Return a duration as text, such as 60 s, 10 min, 1 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"
