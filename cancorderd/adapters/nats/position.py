"""Where a consumer of a bus at the hub ended, as text for the next one. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

from cancorderd.hub.headers import BatchHead, Losses, parse_batch_id


class Position(NamedTuple):
    """The last message that was delivered."""

    created: str
    """When its stream was made, which tells the stream from a later one of the same name."""
    sequence: int
    """Its number in this stream."""
    head: BatchHead


def to_text(position: Position, of: str) -> str:
    """Return the position as text; `of` names the bus and the wanted part of it."""
    head = position.head
    return json.dumps(
        [of, position.created, position.sequence, str(head.batch), *head[1:5], [*head.lost], head.epoch]
    )


def from_text(text: str, of: str) -> Position | None:
    """Return the position that `to_text` wrote for the same bus and part; None if it is another's."""
    try:
        known, created, sequence, batch, frames, before, first_us, last_us, lost, epoch = json.loads(text)
        head = BatchHead(parse_batch_id(batch), frames, before, first_us, last_us, Losses(*lost), epoch)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return Position(created, sequence, head) if known == of else None
