"""A visit to a source of numbered frames, in the words of an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.harness import busy_limit_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.firmware.exhibit import Exhibit
    from tests.firmware.source_visit import SourceVisit

EVERY_FRAME = "running; every frame, at its time"

_RIGHT_S = 1.0
"""A stamp that is further than this from the time at which its frame was sent is wrong; on a busy machine, frames are late."""
_MOST_RIGHT_S = 4.0
_WORTH_A_WORD = ("clock", "read_error", "unacknowledged", "unusable_stamps", "refusals")
"""Keys of a source's details."""


def came(visit: SourceVisit, sent_us: Callable[[int], int] | Mapping[int, int]) -> str:
    """Return the state, and whether the frames between the first and the last are whole and rightly stamped.

    The first 8 bytes of a frame are its number; `sent_us` has the time at which each was sent, since the epoch.
    """
    if not visit.frames:
        return f"{visit.state}; no frame"
    time_of = sent_us if callable(sent_us) else sent_us.__getitem__
    numbered = [(int.from_bytes(frame.data[:8]), frame.timestamp_us) for frame in visit.frames]
    numbers, stamps = [number for number, _ in numbered], [stamp_us for _, stamp_us in numbered]
    if numbers != sorted(set(numbers)):
        return f"{visit.state}; disorder"
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    right_us = 1e6 * min(busy_limit_s(_RIGHT_S), _MOST_RIGHT_S)
    late = [number for number, stamp_us in numbered if abs(stamp_us - time_of(number)) > right_us]
    facts = "every frame" if not missing else f"{missing} frames missing"
    facts += f", {len(late)} at wrong times" if late else ", at its time"
    facts += "" if stamps == sorted(stamps) else ", stamps run backwards"
    return f"{visit.state}; {facts}"


def complete(exhibit: Exhibit, visit: SourceVisit, frames: int) -> bool:
    """Return whether the visit has the declared state, `frames` if it runs, and the details that have to be said."""
    state = exhibit.came.partition(";")[0]
    details = [key for key in _WORTH_A_WORD if exhibit.said.startswith(key)]
    enough = len(visit.frames) >= (frames if state == "running" else 0)
    return enough and visit.state == state and all(key in visit.details for key in details)


def said(visit: SourceVisit) -> str:
    """Return the reason, the details that are worth a word, and the names of the counters that are not 0."""
    texts = [visit.reason, *(f"{key}: {visit.details[key]}" for key in _WORTH_A_WORD if key in visit.details)]
    texts += ["errors counted"] * bool(visit.errors) + ["remote frames counted"] * bool(visit.remote)
    texts += ["loss counted"] * bool(visit.lost)
    return "; ".join(filter(None, texts))
