from __future__ import annotations

import itertools
from typing import Any

import pytest

from cancorderd.service.rhythm import Watchdog, extension_us, watchdog_interval_s
from cancorderd.service.status_line import status_line


@pytest.mark.parametrize("interval_s", [0.5, 2.0, 3.0, 10.0, 30.0])
def test_signs_of_life_come_at_half_the_interval(interval_s: float) -> None:
    watchdog = Watchdog(interval_s, usual_check_s=1.0)
    step_s = watchdog.check_every_s
    sent = [number * step_s for number in range(1000) if watchdog.due(number * step_s)]
    assert sent[0] == 0
    gaps = {round(later - sooner, 6) for sooner, later in itertools.pairwise(sent)}
    assert interval_s / 2 - step_s < min(gaps) <= max(gaps) <= interval_s / 2 + step_s / 2


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_whose_watchdog_it_is(environment: dict[str, str], interval_s: float | None) -> None:
    assert watchdog_interval_s(environment, 7) == interval_s


def test_what_is_stuck_gets_no_more_time() -> None:
    assert extension_us(5) == 10_000_000
    assert extension_us(60) is None


def bus(name: str, state: str, reason: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "reason": reason}


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
            [bus(name, "backoff", "no") for name in "abcde"],
            "0 of 5 buses running; a: backoff: no; b: backoff: no; c: backoff: no; 2 more",
        ),
    ],
)
def test_one_line_that_a_person_understands(buses: list[dict[str, Any]], line: str) -> None:
    assert status_line(buses) == line
