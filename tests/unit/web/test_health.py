"""Health: whether every bus that should run does."""

from __future__ import annotations

from typing import Any

import pytest

from cancorderd.web.health import health
from tests.unit.cli.ctl.sample_status import sample_bus, sample_status


def forwarding(**keys: Any) -> Any:
    forward = {"gateway": "truck-17", "connected": False, "refused": False, "losing": False} | keys
    return sample_status(sample_bus("body")) | {"forward": forward}


def test_all_run() -> None:
    disabled = sample_bus("spare", enabled=False, state="disabled")
    assert health(sample_status(sample_bus("body"), disabled), "") == {"ok": True, "problems": []}


@pytest.mark.parametrize("state", ["starting", "waiting", "backoff", "failed", "stopping", "stopped"])
def test_enabled_bus_that_does_not_run(state: str) -> None:
    answer = health(sample_status(sample_bus("body", state=state, reason="can0: bus-off.")), "")
    assert answer == {"ok": False, "problems": [f"body is {state}: can0: bus-off."]}


def test_bus_that_is_not_recorded_as_it_should_be() -> None:
    recording = {
        "state": "stopped",
        "reason": "the disk is full",
        "file": None,
        "bytes": 0,
        "frames": 0,
        "dropped": 0,
    }
    answer = health(sample_status(sample_bus("body", recording=recording)), "")
    assert answer == {"ok": False, "problems": ["body: recording stopped: the disk is full"]}


@pytest.mark.parametrize("impaired", ["refused", "losing"])
def test_forwarding_that_loses_frames_or_needs_somebody(impaired: str) -> None:
    reason = "tls://hub: truck is refused. Check user and password."
    status = forwarding(reason=reason, **{impaired: True})
    assert health(status, "") == {"ok": False, "problems": [f"forwarding as truck-17: {reason}"]}


def test_outage_that_the_spool_bridges_is_none() -> None:
    status = forwarding(reason="tls://hub: no answer within 10 s.")
    assert health(status, "") == {"ok": True, "problems": []}


def test_daemon_that_does_not_answer() -> None:
    assert health(None, "cancorderd is not running.") == {
        "ok": False,
        "problems": ["cancorderd is not running."],
    }
