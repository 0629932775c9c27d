"""Whether every bus that should run does, and forwarding needs nobody: as the exit status of `cancorderctl status`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from cancorderd.control.protocol import all_is_well, forwarding_impaired

if TYPE_CHECKING:
    from cancorderd.control.protocol import BusStatus, StatusAnswer


class Health(TypedDict):
    """Answer to `GET /healthz`."""

    ok: bool
    """Whether every enabled bus runs, and is recorded if it should be, and forwarding neither loses frames nor needs somebody."""
    problems: list[str]
    """Why not: a sentence for each bus, and for forwarding."""


def health(status: StatusAnswer | None, problem: str) -> Health:
    """Return the health of all buses and of forwarding; `problem` is why there is no status."""
    if status is None:
        return {"ok": False, "problems": [problem]}
    problems = [_sentence(bus) for bus in status["buses"] if bus["enabled"] and not _runs(bus)]
    forward = status["forward"]
    if forward is not None and forwarding_impaired(forward):
        problems.append(f"forwarding as {forward['gateway']}: {forward['reason']}")
    return {"ok": not problems, "problems": problems}


def _runs(bus: BusStatus) -> bool:
    return bus["state"] == "running" and all_is_well(bus)


def _sentence(bus: BusStatus) -> str:
    recording = bus["recording"]
    if bus["state"] == "running" and recording:
        return f"{bus['name']}: recording {recording['state']}: {recording['reason']}"
    return f"{bus['name']} is {bus['state']}" + (f": {bus['reason']}" if bus["reason"] else "")
