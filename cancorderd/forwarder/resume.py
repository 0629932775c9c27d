"""Where to go on in a stream, by its last message: after each connection, and after each refusal. Pure.

The last message has the identity of the last batch that is stored. If it is one of ours, we go on behind it. If the
stream is empty or younger than what it has acknowledged, we go on with whatever we still have, in a new epoch. If it
is of a foreign spool id, another gateway may have our name: see `ForeignWatch`. Times are on the monotonic clock.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.hub.headers import BatchId

FOREIGN_WAIT_S = 30.0
FOREIGN_AGAIN_S = 60.0


class StreamState(NamedTuple):
    """A stream as its leader describes it."""

    last_sequence: int
    created: str
    """When it was made, in the hub's words: another time is another stream."""
    last: BatchId | None
    """None if the stream is empty, or its last message has no headers of a batch."""
    empty: bool = False
    max_message: int = 0
    """Bytes of the largest message that it stores; 0: no limit of its own."""


class Mark(NamedTuple):
    """A batch in the order of sending: the position of its spool id among ours, and its number."""

    spool: int
    number: int


class Own(NamedTuple):
    """What this forwarder knows of its stream."""

    spools: Sequence[str]
    """Spool ids of this machine, the latest (our own) last."""
    acknowledged: Mark | None = None
    """The last batch that was acknowledged, be it of an earlier start; None if there is none."""
    sequence: int = 0
    """Its sequence number in the stream."""
    created: str = ""
    """`StreamState.created` at that time."""
    empty: bool = False
    """Whether the stream was found empty, and has stored nothing since."""
    made: int | None = None
    """Number of our last batch; None if it is not known."""


class GoOn(NamedTuple):
    """Send what follows `behind`; None: whatever is not acknowledged.

    If `again`, acknowledged batches behind it are sent again, as far as they are kept. `told` is for the log.
    """

    behind: Mark | None
    new_epoch: bool = False
    again: bool = False
    told: str = ""


class Foreign(NamedTuple):
    """The last message is none of ours."""

    batch: BatchId | None


def resume(state: StreamState, own: Own) -> GoOn | Foreign:
    """Return how to go on in a stream in this state."""
    if state.empty:
        return _behind_nothing(state, own)
    if state.last is None or state.last.spool not in own.spools:
        return Foreign(state.last)
    if state.last.spool == own.spools[-1] and own.made is not None and state.last.number > own.made:
        return Foreign(state.last)  # by its number, all batches that we make would be at the hub already
    mark = Mark(list(own.spools).index(state.last.spool), state.last.number)
    if own.acknowledged is None or own.acknowledged <= mark:
        return GoOn(mark)
    missing = own.acknowledged.number - mark.number if own.acknowledged.spool == mark.spool else None
    batches = "its last batches" if missing is None else f"the last {missing} batches"
    text = f"the hub has lost {batches}: they are sent again as far as they are kept (keep_acked_mb)"
    return GoOn(mark, new_epoch=True, again=True, told=text)


def _behind_nothing(state: StreamState, own: Own) -> GoOn:
    """Return how to go on in an empty stream. Only a purge keeps its last sequence number."""
    made_again = bool(own.created) and state.created != own.created
    lost = bool(own.created) and not made_again and state.last_sequence < own.sequence
    if lost:
        text = "the hub has lost all batches: they are sent again as far as they are kept (keep_acked_mb)"
        return GoOn(None, new_epoch=True, again=True, told=text)
    if not made_again and (own.empty or not own.acknowledged):
        return GoOn(None)
    fact = "was deleted and made again" if made_again else "was emptied"
    return GoOn(None, new_epoch=True, told=f"the stream {fact} at the hub: forwarding goes on in a new epoch")


class Verdict(enum.Enum):
    """What to do about a foreign last message."""

    WAIT = enum.auto()
    """Look again soon; send nothing."""
    TAKE_OVER = enum.auto()
    """The stream stood still: its gateway was replaced by this one."""
    ANOTHER_GATEWAY = enum.auto()
    """The stream moved: send nothing, and look again after `FOREIGN_AGAIN_S`."""


class ForeignWatch:
    """Watch over a stream whose last message is foreign, to learn whether another gateway writes to it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: the last message is ours."""
        self._sequence = -1
        self._since_s = 0.0
        self._moved = False

    def look(self, sequence: int, now_s: float) -> Verdict:
        """Take the stream's last sequence number; returns what to do."""
        if sequence != self._sequence:
            self._moved = self._sequence >= 0
            self._sequence, self._since_s = sequence, now_s
            return Verdict.ANOTHER_GATEWAY if self._moved else Verdict.WAIT
        wait_s = FOREIGN_AGAIN_S if self._moved else FOREIGN_WAIT_S
        if now_s - self._since_s < wait_s:
            return Verdict.ANOTHER_GATEWAY if self._moved else Verdict.WAIT
        return Verdict.TAKE_OVER
