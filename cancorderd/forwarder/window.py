"""Publishes in flight: how many there may be, what each expects of the stream, and what an answer means. Pure.

Each publish names the stream and the sequence number before its own, so that the hub stores all of them in order or
refuses from the first that does not fit. The publisher of a stream is its only one: it can predict these numbers.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cancorderd.hub.subjects import all_subjects, stream_name

if TYPE_CHECKING:
    from cancorderd.forwarder.entry import Entry

MOST_BATCHES = 256
MOST_BYTES = 1 << 20
OTHER_STREAM = 10060
"""The stream that holds the subject is another (Nats-Expected-Stream)."""
NOBODY = 503
"""Nothing holds the subject."""
_STORED = re.compile(rb'\{"stream":"[^"\\]*", ?"seq":([1-9][0-9]{0,19})\}')
"""An acknowledgement as the hub usually writes it, which need not be read as JSON."""
SILENT_S = 30.0
"""A hub that acknowledges nothing for so long is left: the connection may be half-open."""


@dataclass(frozen=True)
class Acknowledged:
    """The hub has stored a batch."""

    entry: Entry


@dataclass(frozen=True)
class Refused:
    """The hub has not stored a batch. `code` is that of JetStream's error, or the status of the message, or 0."""

    code: int
    description: str
    unanswered: bool = False
    """Whether a batch before it has got no answer: nats-server gives none if it cannot write to its disk."""


class Window:
    """Publishes in flight on one connection. Make another for the next."""

    def __init__(self, last_sequence: int, now_s: float) -> None:
        self._in_flight: deque[tuple[int, Entry]] = deque()
        self._bytes = 0
        self._next_sequence = last_sequence + 1
        self._last_progress_s = now_s

    @property
    def entries(self) -> list[Entry]:
        """Batches in flight, the oldest first."""
        return [entry for _, entry in self._in_flight]

    def has_room(self, size: int, *, most: int = MOST_BATCHES) -> bool:
        """Return whether a further batch of this size may be published, if `most` may be in flight. One always may."""
        if not self._in_flight:
            return True
        return len(self._in_flight) < most and self._bytes + size <= MOST_BYTES

    def publish(self, entry: Entry, now_s: float) -> int:
        """Add a batch; returns the sequence number that the stream must have before it."""
        if not self._in_flight:
            self._last_progress_s = now_s
        sequence = self._next_sequence
        self._in_flight.append((sequence, entry))
        self._bytes += entry.size
        self._next_sequence += 1
        return sequence - 1

    def answer(self, sequence: int, data: bytes, status: str | None, now_s: float) -> Acknowledged | Refused:
        """Take the answer to the publish that expected `sequence` before it. After a refusal, nothing counts any more."""
        expected, entry = self._in_flight[0] if self._in_flight else (0, None)
        if status:
            return Refused(_code(status), f"status {status}")
        usual = _STORED.fullmatch(data)
        if usual and entry and int(usual[1]) == expected == sequence + 1:
            return self._stored(now_s)
        try:
            answer = json.loads(data)
            error = answer.get("error")
            stored = answer.get("seq")
        except (ValueError, AttributeError, RecursionError):
            return Refused(0, "an answer that is no JSON object")
        if isinstance(error, dict):
            code, unanswered = _code(error.get("err_code") or error.get("code")), 0 < expected <= sequence
            return Refused(code, str(error.get("description")), unanswered)
        if entry is None or sequence + 1 != expected or stored != expected:
            return Refused(0, f"sequence number {stored} in place of {expected}")
        return self._stored(now_s)

    def _stored(self, now_s: float) -> Acknowledged:
        """Take the oldest batch out."""
        _, entry = self._in_flight.popleft()
        self._bytes -= entry.size
        self._last_progress_s = now_s
        return Acknowledged(entry)

    def silent(self, now_s: float) -> bool:
        """Return whether the hub has acknowledged nothing for too long."""
        return bool(self._in_flight) and now_s - self._last_progress_s > SILENT_S


def _code(value: object) -> int:
    """Return an error code of the hub as a number; 0 if it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def refusal_sentence(refusal: Refused, gateway: str, correction: str) -> str:
    """Return fact and remedy of a refusal that repeats, for `status`. `correction` is the command that corrects a stream."""
    stream = stream_name(gateway)
    if refusal.code in (NOBODY, OTHER_STREAM):
        holder = "no stream" if refusal.code == NOBODY else "another stream"
        return f"{holder} holds {all_subjects(gateway)} in place of {stream}. Correct it: {correction}"
    if refusal.unanswered:
        return (
            "stores nothing, and does not say why. Make room on its disk, then restart nats-server; its log has the "
            "reason."
        )
    return f"refuses batches ({refusal.description}). Check limits and space of {stream} at the hub."
