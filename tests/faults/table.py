"""The table of drills, a line for each. Pure; takes the JSON form of `drill.Result`."""

from __future__ import annotations

from typing import Any

_FORMAT = "{:<6} {:<28} {:<60} {:>5} {:>8} {:>8} {:>9} {:>9} {:>11}  {}"
HEAD = _FORMAT.format(
    "", "drill", "broken", "times", "median s", "worst s", "sent", "received", "unaccounted", "lost by place"
)


def line(result: dict[str, Any]) -> str:
    """Return the line of a drill; failures stand below it."""
    recovery = result["recovery_s"]
    lost = ", ".join(f"{place} {frames}" for place, frames in result["lost"].items()) or "0"
    first = _FORMAT.format(
        "FAILED" if result["failures"] else "ok",
        result["drill"],
        result["broken"],
        result["times"],
        _seconds(recovery["median"]),
        _seconds(recovery["worst"]),
        result["sent"],
        result["received"],
        result["unaccounted"],
        lost,
    )
    below = [f"       {failure}" for failure in result["failures"]]
    below += [f"       note: {result['note']}"] * bool(result["note"])
    return "\n".join((first.rstrip(), *below))


def end(results: list[dict[str, Any]], lasted_s: float) -> str:
    """Return the last line."""
    failed = sum(bool(result["failures"]) for result in results)
    sent, received = (sum(result[key] for result in results) for key in ("sent", "received"))
    unaccounted = sum(result["unaccounted"] for result in results)
    return (
        f"{len(results) - failed} of {len(results)} drills passed in {lasted_s:.0f} s; {sent} frames sent, "
        f"{received} received, {unaccounted} unaccounted for"
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
