"""The museum of log files, which the exhibits write themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.firmware.exhibit import Outcome
from tests.firmware.log_exhibits import EXHIBITS as _EXHIBITS
from tests.firmware.log_exhibits import LogExhibit
from tests.firmware.source_visit import SourceVisit, visit_source
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "replay: log files"
EXHIBITS = _EXHIBITS

_PATIENCE_S = 28.0
_WAITING_S = 1.0
"""How long an exhibit that is waited for is looked at."""


def observe(exhibit: LogExhibit, folder: Path) -> Outcome:
    """Write the file of the exhibit, replay it to its end, and return what came and what was said."""
    file = folder / exhibit.file
    exhibit.make(file)
    settings = valid_settings("replay", file=str(file), **exhibit.keys)
    patience_s = _WAITING_S if exhibit.came.startswith("waiting") else _PATIENCE_S
    visit = visit_source(settings, lambda visit: "replay" in visit.details, patience_s)
    return Outcome(_came(visit), _said(visit).replace(f"{folder}/", ""))


def _came(visit: SourceVisit) -> str:
    stamps = [frame.timestamp_us for frame in visit.frames]
    order = "" if stamps == sorted(stamps) else ", stamps run backwards"
    span_s = (stamps[-1] - stamps[0]) / 1e6 if stamps else 0.0
    frames = (
        f"; {len(stamps)} frame{'' if len(stamps) == 1 else 's'}{order}"
        if stamps or visit.state == "running"
        else ""
    )
    return f"{visit.state}{frames}" + (f" in {span_s:.0f} s" if span_s > 1 else "")


def _said(visit: SourceVisit) -> str:
    counted = [f"errors: {visit.errors}"] * bool(visit.errors)
    counted += [f"remote frames: {visit.remote}"] * bool(visit.remote)
    return " ".join([*dict.fromkeys([visit.reason, *visit.notices]), *counted]).strip()
