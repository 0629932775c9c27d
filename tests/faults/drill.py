"""A drill breaks something while numbered frames flow, waits until it is back, and returns a row of the table. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.faults.account import Account, lost_by_place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """The size of a drill: the short form runs in CI, the long form by hand (`--long`)."""

    long: bool = False
    minutes: float | None = None
    """Length of the soak, if it is given."""

    def of(self, short: T, long: T) -> T:
        return long if self.long else short


@dataclass
class Row:
    """Outcome of a drill."""

    times: int = 0
    """How often something was broken."""
    recoveries_s: list[float] = field(default_factory=list)
    """Time to recover of each fault: from the fault, or from its end if it lasts, to the next frame."""
    accounts: list[Account] = field(default_factory=list)
    """One account per stream; a drill without frames has none."""
    mistakes: list[str] = field(default_factory=list)
    """Each promise that did not hold, as a sentence."""
    note: str = ""
    """A fact that the reader of the table needs, such as a rate that was reduced."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Further measurements, for the JSON alone."""

    @property
    def sent(self) -> int:
        return sum(account.sent for account in self.accounts)

    @property
    def received(self) -> int:
        return sum(account.received for account in self.accounts)

    @property
    def lost(self) -> dict[str, int]:
        return lost_by_place(self.accounts)

    @property
    def unaccounted(self) -> int:
        """Frames unaccounted for: the sum over the streams, so that no stream makes up for another."""
        return sum(account.unaccounted for account in self.accounts)

    @property
    def failures(self) -> list[str]:
        """All reasons why the drill has failed; empty if it has passed."""
        wrong = [mistake for account in self.accounts for mistake in account.mistakes()]
        unaccounted = [f"{self.unaccounted} frames unaccounted for"] if self.unaccounted else []
        return [*unaccounted, *wrong, *self.mistakes]

    def expect(self, promise: bool, mistake: str) -> None:
        """Take note of a promise; `mistake` is the sentence about it if it did not hold."""
        if not promise:
            self.mistakes.append(mistake)


@dataclass(frozen=True)
class Drill:
    """A fault, and the function that causes it."""

    name: str
    """Unique within its module; lower case, words joined by "-"."""
    breaks: str
    """What is broken, as a phrase for the table."""
    run: Callable[[Path, Scale], Row]
    """Break it in an empty folder. May raise AssertionError; must end all that it has started."""
    alone: bool = False
    """Whether it measures the whole machine, so that nothing may run beside it."""


@dataclass(frozen=True)
class Result:
    """A drill that has run, in the form of the table's lines and of the JSON."""

    drill: str
    """MODULE:NAME."""
    breaks: str
    row: Row
    lasted_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        row = self.row
        return {
            "drill": self.drill,
            "broken": self.breaks,
            "times": row.times,
            "recovery_s": {"median": median(row.recoveries_s), "worst": worst(row.recoveries_s)},
            "sent": row.sent,
            "received": row.received,
            "lost": row.lost,
            "unaccounted": row.unaccounted,
            "failures": row.failures,
            "note": row.note,
            "figures": row.figures,
            "lasted_s": round(self.lasted_s, 1),
        }


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None


def worst(values: Sequence[float]) -> float | None:
    return round(max(values), 3) if values else None
