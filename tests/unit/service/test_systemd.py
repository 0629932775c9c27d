from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import pytest

from cancorderd.service.systemd import (
    ServiceManager,
    Watchdog,
    connect,
    extension_us,
    status_line,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.control.protocol import BusStatus


@pytest.mark.parametrize("interval_s", [0.5, 2.0, 3.0, 10.0, 30.0])
def test_keepalives_are_sent_at_half_the_interval(interval_s: float) -> None:
    watchdog = Watchdog(interval_s, usual_check_s=1.0)
    step_s = watchdog.check_every_s
    sent = [number * step_s for number in range(1000) if watchdog.due(number * step_s)]
    assert sent[0] == 0
    gaps = {round(later - sooner, 6) for sooner, later in itertools.pairwise(sent)}
    assert interval_s / 2 - step_s < min(gaps) <= max(gaps) <= interval_s / 2 + step_s / 2


def test_a_stuck_start_gets_no_more_time() -> None:
    assert extension_us(5) == 10_000_000
    assert extension_us(60) is None


def bus(name: str, state: str, reason: str = "") -> BusStatus:
    return cast("BusStatus", {"name": name, "state": state, "reason": reason})


@pytest.mark.parametrize(
    ("buses", "line"),
    [
        ([], "no buses: the configuration has no [bus.NAME] table"),
        ([bus("a", "running")], "1 of 1 bus running"),
        ([bus("a", "running"), bus("b", "stopped")], "1 of 2 buses running"),
        (
            [bus("a", "running"), bus("body", "waiting", "there is no interface can7. Plug the adapter in.")],
            "1 of 2 buses running; body: waiting: there is no interface can7",
        ),
        ([bus("a", "starting")], "0 of 1 bus running; a: starting"),
        ([bus("a", "failed", "two\nlines.")], "0 of 1 bus running; a: failed: two lines"),
        ([bus("a", "failed", "x" * 500)], f"0 of 1 bus running; a: failed: {'x' * 97}..."),
        (
            [bus(name, "backoff", "no") for name in "abc"],
            "0 of 3 buses running; a: backoff: no; b: backoff: no; c: backoff: no",
        ),
        (
            [bus(name, "backoff", "no") for name in "abcde"],
            "0 of 5 buses running; a: backoff: no; b: backoff: no; c: backoff: no; 2 more",
        ),
    ],
)
def test_status_line(buses: list[BusStatus], line: str) -> None:
    assert status_line(buses) == line


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_status_line_reports_an_impaired_recording_of_a_bus_that_runs(state: str) -> None:
    recording = {"state": "stopped", "reason": "the disk of /r is full. Make room there."}
    recorded = cast("BusStatus", {"name": "m", "state": state, "reason": "", "recording": recording})
    expected = {"running": "1 of 1 bus running; m: recording stopped: the disk of /r is full"}
    assert status_line([recorded]) == expected.get(state, "0 of 1 bus running")


def test_messages() -> None:
    messages: list[str] = []

    def send(text: str, _descriptors: Sequence[int]) -> None:
        messages.append(text)

    manager = ServiceManager(send)
    manager.ready("1 of 1 bus running")
    manager.status("1 of 1 bus running")
    manager.reloading()
    manager.alive(0.0)
    manager.stopping()
    ready, reloading, stopping = messages
    assert ready == "READY=1\nSTATUS=1 of 1 bus running"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert stopping == "STOPPING=1\nSTATUS=stopping"


def test_workers_are_checked_often_enough_for_the_watchdog() -> None:
    assert ServiceManager().check_every_s(1.0) == 1.0
    assert ServiceManager(watchdog=Watchdog(2.0, usual_check_s=1.0)).check_every_s(1.0) == 0.5
    assert ServiceManager(watchdog=Watchdog(30.0, usual_check_s=1.0)).check_every_s(1.0) == 1.0


def test_without_systemd_nothing_is_sent() -> None:
    manager, inherited = connect({})
    manager.ready("")
    assert inherited == []
