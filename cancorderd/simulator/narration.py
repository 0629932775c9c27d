"""The narration: which session and phase runs, and which mistakes and errors the simulation injects. Pure.

Its sentences go to the log of the bus: sessions and injected errors with the level `info`, phases with `debug`. Nothing
in the simulation depends on it. Times are seconds on the caller's clock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MOST_PER_S = 30
"""Sentences that leave in a second: a simulation at high speed has thousands."""
MOST_WAITING = 200
"""Sentences that wait; a reader that does not come misses the oldest."""


class Sentence(NamedTuple):
    """A sentence for the log."""

    level: str
    text: str


class Narration:
    """Sentences that wait to be taken, and the number of the session."""

    def __init__(self) -> None:
        self._sentences: deque[Sentence] = deque()
        self._left_out = 0
        self._session = 0
        self._subject = "UDS"
        self._second_began_s = float("-inf")
        self._taken = 0
        """Sentences taken in this second."""

    def begin_session(self) -> None:
        self._session += 1
        self._subject = f"UDS session #{self._session}"
        self._add("info", "starts")

    def begin_polling(self, cycles: int) -> None:
        self._subject = "OBD-II polling"
        self._add("info", "starts")
        self.phase(f"{cycles} cycles")

    def phase(self, text: str) -> None:
        """Name the part of a session that begins."""
        self._add("debug", text)

    def injected(self, text: str) -> None:
        """Name a mistake of the tester or an error of the ECU that happens on purpose."""
        self._add("info", f"injected: {text}")

    def outcome(self, text: str) -> None:
        """Add how the session or the polling ended."""
        self._add("info", text)

    def take(self, now_s: float) -> list[Sentence]:
        """Return the sentences to log now. Beyond MOST_PER_S, sentences are left out, and counted by a sentence."""
        if not self._sentences and not self._left_out:
            return []
        if now_s - self._second_began_s >= 1:
            self._second_began_s, self._taken = now_s, 0
        taken = []
        if self._left_out and self._taken < MOST_PER_S:
            taken.append(
                Sentence("info", f"{self._left_out} sentences about the simulation are missing here")
            )
            self._left_out = 0
        while self._sentences and self._taken + len(taken) < MOST_PER_S:
            taken.append(self._sentences.popleft())
        self._taken += len(taken)
        self._left_out += len(self._sentences)
        self._sentences.clear()
        return taken

    def _add(self, level: str, text: str) -> None:
        if len(self._sentences) == MOST_WAITING:
            self._sentences.popleft()
            self._left_out += 1
        self._sentences.append(Sentence(level, f"{self._subject}: {text}"))
