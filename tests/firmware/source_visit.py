"""Reads a source as a worker does, and notes what came."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cancorderd.adapters.failures import AdapterAbsent, BusFailure, SettingsRefused
from cancorderd.adapters.registry import open_source
from cancorderd.protocol.packets import PacketDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.adapters.base import Source
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.protocol.frame import Frame

_REOPEN_S = 0.25
_TURN_S = 0.02


@dataclass
class SourceVisit:
    """What a source gave while it was read."""

    state: str = "starting"
    reason: str = ""
    frames: list[Frame] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    errors: int = 0
    remote: int = 0
    lost: int = 0
    openings: int = 0


def visit_source(
    settings: BusSettings, enough: Callable[[SourceVisit], bool], patience_s: float
) -> SourceVisit:
    """Open and read a source, reopening it as the supervisor would, until `enough` or until `patience_s` has passed."""
    visit = SourceVisit()
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s and visit.state != "failed" and not enough(visit):
        source: Source | None = None
        visit.openings += 1
        try:
            source = open_source(settings)
            _read(source, visit, enough, end_s)
        except AdapterAbsent as failure:
            visit.state, visit.reason = "waiting", str(failure)
        except SettingsRefused as failure:
            visit.state, visit.reason = "failed", str(failure)
        except BusFailure as failure:
            visit.state, visit.reason = "backoff", str(failure)
        finally:
            if source:
                _note(source, visit)
                source.close()
        if visit.state in ("waiting", "backoff") and visit.reason and not enough(visit):
            time.sleep(_REOPEN_S)
    return visit


def _read(source: Source, visit: SourceVisit, enough: Callable[[SourceVisit], bool], end_s: float) -> None:
    wire = PacketDecoder()
    descriptor = source.fileno()
    source.audience(1, time.monotonic())
    while True:
        visit.state, visit.reason = ("waiting", source.waiting) if source.waiting else ("running", "")
        visit.details = dict(source.details)
        if enough(visit) or time.monotonic() > end_s:
            return
        due = source.due(time.monotonic())
        pause_s = _TURN_S if due is None else min(_TURN_S, max(0.0, due))
        poll = select.poll()
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        poll.poll(1000 * pause_s)
        wire.receive(source.read(time.monotonic()).packets)
        visit.frames.extend(wire.frames())


def _note(source: Source, visit: SourceVisit) -> None:
    """Add the counters of a source that is about to be closed."""
    visit.errors += source.error_frames
    visit.remote += source.remote_frames
    visit.lost += source.lost_kernel + source.lost_adapter
    visit.details = dict(source.details)
    visit.notices += [text for _, text in source.notices]
