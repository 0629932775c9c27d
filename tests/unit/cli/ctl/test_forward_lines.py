"""The lines about forwarding in `cancorderctl status`."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cancorderd.cli.ctl.forward_lines import forward_lines, forward_style
from tests.unit.cli.ctl.sample_status import sample_status

NOTHING_LOST = {"unknown": 0, "feed": 0, "spool": 0, "kernel": 0, "adapter": 0}


def forwarded(name: str = "body", lag_frames: int = 0, lag_s: float = 0.0, **lost: int) -> dict[str, Any]:
    return {"name": name, "lag_frames": lag_frames, "lag_s": lag_s, "lost": {**NOTHING_LOST, **lost}}


def lines(*buses: dict[str, Any], **keys: Any) -> list[str]:
    forward = {
        "gateway": "truck-17", "url": "tls://hub:4222", "connected": True, "reason": "",
        "spool_bytes": 0, "spool_limit_bytes": 1_024_000_000, "spool_lasts_s": None, "retained_s": 0.0,
        "buses": list(buses), **keys,
    }  # fmt: skip
    return forward_lines(cast("Any", {**sample_status(), "forward": forward}))


HEAD = "forwarding as truck-17 to tls://hub:4222: "


def test_without_forwarding_there_are_no_lines() -> None:
    assert forward_lines(sample_status()) == []
    assert forward_style(sample_status()) == ""


@pytest.mark.parametrize(
    ("buses", "keys", "line"),
    [
        ([forwarded()], {}, "connected; spool 0 B of 1.0 GB"),
        ([], {}, "connected; spool 0 B of 1.0 GB"),
        ([forwarded(lag_frames=9, lag_s=0.9)], {}, "connected; spool 0 B of 1.0 GB"),
        (
            [forwarded(lag_frames=9, lag_s=1.0)],
            {},
            "connected; 9 frames wait, 1s behind; spool 0 B of 1.0 GB",
        ),
        ([forwarded(lag_s=5)], {}, "connected; spool 0 B of 1.0 GB"),
        (
            [forwarded()],
            {"retained_s": 83.2},
            "connected; spool 0 B of 1.0 GB; the last 1m23s are kept for a hub that loses them",
        ),
        (
            [forwarded(lag_frames=9, lag_s=3), forwarded("drive", 1, 61)],
            {"connected": False, "spool_bytes": 2_000_000, "spool_lasts_s": 7200, "reason": "hub: no route."},
            "not connected; 10 frames wait, 1m01s behind; spool 2.0 MB of 1.0 GB, lasts 2h00m. hub: no route.",
        ),
        (
            [forwarded(lag_frames=9, lag_s=0.5)],
            {"connected": False, "retained_s": 9.0},
            "not connected; 9 frames wait, 0s behind; spool 0 B of 1.0 GB",
        ),
    ],
)
def test_state_of_forwarding(buses: list[dict[str, Any]], keys: dict[str, Any], line: str) -> None:
    assert lines(*buses, **keys) == [HEAD + line]


def test_a_bus_that_lost_frames_in_forwarding_has_a_line_with_the_places() -> None:
    assert lines(
        forwarded("a"),
        forwarded("b", kernel=5, adapter=6),
        forwarded("c", spool=3),
        forwarded("d", unknown=1, feed=2),
    )[1:] == ["lost in forwarding c: 3 spool", "lost in forwarding d: 1 unknown, 2 feed"]
