"""The lines about forwarding that `cancorderctl status` prints. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.cli.ctl.quantities import duration, size
from cancorderd.control.protocol import forwarding_impaired

if TYPE_CHECKING:
    from cancorderd.control.protocol import ForwardedBus, ForwardStatus, StatusAnswer


def forward_lines(status: StatusAnswer) -> list[str]:
    """Return the state of forwarding, a line for each bus that lost frames in it; nothing if it is off."""
    forward = status.get("forward")
    if forward is None:
        return []
    return [_state(forward), *(_lost(bus) for bus in forward["buses"] if sum(_losses(bus).values()))]


def forward_style(status: StatusAnswer) -> str:
    """Return the style of the first of these lines."""
    return "bold red" if forwarding_impaired(status.get("forward")) else ""


def _state(forward: ForwardStatus) -> str:
    lag = sum(bus["lag_frames"] for bus in forward["buses"])
    lag_s = max((bus["lag_s"] for bus in forward["buses"]), default=0.0)
    state = "connected" if forward["connected"] else "not connected"
    parts = [f"forwarding as {forward['gateway']} to {forward['url']}: {state}"]
    if lag and (lag_s >= 1 or not forward["connected"]):
        parts.append(f"{lag} frames wait, {duration(lag_s)} behind")
    used, limit = forward["spool_bytes"], forward["spool_limit_bytes"]
    lasts = forward["spool_lasts_s"]
    lasting = f", lasts {duration(lasts)}" if lasts is not None else ""
    parts.append(f"spool {size(used)} of {size(limit)}{lasting}")
    if forward["connected"] and forward["retained_s"] >= 1:
        parts.append(f"the last {duration(forward['retained_s'])} are kept for a hub that loses them")
    text = "; ".join(parts)
    return f"{text}. {forward['reason']}" if forward["reason"] else text


def _lost(bus: ForwardedBus) -> str:
    places = ", ".join(f"{count} {place}" for place, count in _losses(bus).items() if count)
    return f"lost in forwarding {bus['name']}: {places}"


def _losses(bus: ForwardedBus) -> dict[str, int]:
    """Return the frames lost by forwarding itself, by place."""
    lost = bus["lost"]
    return {"unknown": lost["unknown"], "feed": lost["feed"], "spool": lost["spool"]}
