"""An exhibit, what it gives, and what a museum is. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Outcome(NamedTuple):
    """What an exhibit gave."""

    came: str
    """The state of the bus and its frames, such as "running; every frame, at its time"."""
    said: str
    """What `status` and the log say about it; empty if nothing is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A strange adapter or file, and what has to come of it. `…` in `came` and `said` stands for any text."""

    name: str
    symptom: str
    came: str
    said: str = ""

    def gives(self, outcome: Outcome) -> bool:
        """Return whether the outcome is the declared one."""
        return _matches(self.came, outcome.came) and _matches(self.said, outcome.said)


class Museum(Protocol):
    """A module with the exhibits of one source."""

    TITLE: str
    EXHIBITS: Sequence[Exhibit]

    @staticmethod
    def observe(exhibit: Exhibit, folder: Path) -> Outcome:
        """Show the exhibit to the source, with files in `folder`. Runs in a process of its own, for 30 s at most."""


def _matches(declared: str, given: str) -> bool:
    pattern = ".*".join(map(re.escape, declared.split("…")))
    return re.fullmatch(pattern, given, re.DOTALL) is not None
