"""Hung workers and supervisors that stood still."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.supervisor.heartbeat import (
    CHECK_EVERY_S,
    FIRST_MESSAGE_WITHIN_S,
    LATE_S,
    Check,
    Silence,
    is_late,
)

WATCHDOG_S = 10.0
SHORTEST_WATCHDOG_S = 2.0
REPORT_EVERY_S = 1.0


class Round(NamedTuple):
    now_s: float
    message_s: float | None = None
    """The worker's latest message, if it is a new one."""


def regular(first_s: float, last_s: float) -> list[Round]:
    """Return rounds that are in time and find no message."""
    count = math.ceil((last_s - first_s) / CHECK_EVERY_S)
    return [Round(first_s + number * CHECK_EVERY_S) for number in range(count)] + [Round(last_s)]


def hung_at(rounds: list[Round], watchdog_s: float = WATCHDOG_S) -> float | None:
    """Return the time of the first round that finds the worker hung; it starts at 0."""
    silence, last_s, message_s = Silence.from_start(0.0), 0.0, None
    for now_s, news_s in rounds:
        message_s = message_s if news_s is None else news_s
        silence = silence.checked(Check(now_s, last_s, CHECK_EVERY_S), message_s)
        if silence.hung(now_s, watchdog_s):
            return now_s
        last_s = now_s
    return None


HEARD = Round(0.25, 0.2)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        pytest.param([HEARD, *regular(0.5, 10.2)], None, id="silent for the watchdog"),
        pytest.param([HEARD, *regular(0.5, 10.3)], 10.25, id="silent for longer"),
        pytest.param(regular(0.25, 60.0), None, id="60 s until the first message"),
        pytest.param(regular(0.25, 60.1), 60.1, id="no first message"),
        pytest.param(
            [*regular(0.25, 59.0), Round(59.25, 59.2), *regular(59.5, 69.2)], None, id="a late start"
        ),
        pytest.param(
            [*regular(0.25, 59.0), Round(59.25, 59.2), *regular(59.5, 69.3)],
            69.25,
            id="hung after a late start",
        ),
        pytest.param([HEARD, Round(13.5)], None, id="the supervisor stood still"),
        pytest.param([HEARD, Round(3600.0)], None, id="for an hour"),
        pytest.param(
            [HEARD, *regular(0.5, 9.0), Round(22.0), *regular(22.25, 32.0)], None, id="all time anew"
        ),
        pytest.param(
            [HEARD, *regular(0.5, 9.0), Round(22.0), *regular(22.25, 32.1)], 32.1, id="but not more"
        ),
        pytest.param(
            [Round(50.0), *regular(50.25, 110.0)], None, id="the supervisor stood still in the start"
        ),
        pytest.param([Round(50.0), *regular(50.25, 110.1)], 110.1, id="and the worker hangs in its start"),
        pytest.param([HEARD, Round(13.5, 13.5), *regular(13.75, 23.5)], None, id="a message had waited"),
        pytest.param([HEARD, Round(13.5, 13.5), *regular(13.75, 23.6)], 23.6, id="and it was the last one"),
        pytest.param(
            [HEARD, *regular(0.5, 6.0), Round(13.0, 6.1), *regular(13.25, 23.0)], None, id="an earlier one"
        ),
    ],
)
def test_table(rounds: list[Round], expected: float | None) -> None:
    assert hung_at(rounds) == expected


def test_a_hung_worker_is_found_although_the_supervisor_is_late_again_and_again() -> None:
    """Each of its rests is shorter than the watchdog; of the time between them, it is on time for 4 s of 5 s."""
    rounds = [HEARD]
    for start_s in range(0, 60, 5):
        rounds += [*regular(start_s + 0.5, start_s + 4.25)]
    found_s = hung_at(rounds)
    assert found_s is not None
    assert 2 * WATCHDOG_S < found_s < 4 * WATCHDOG_S


def test_a_worker_that_answers_in_each_interval_is_well_however_often_all_stand_still() -> None:
    rounds = [HEARD]
    for start_s in range(1, 200, 7):
        rounds += [Round(start_s), Round(start_s + 0.25, start_s + 0.2)]
    assert hung_at(rounds, SHORTEST_WATCHDOG_S) is None


@given(st.floats(0.0, REPORT_EVERY_S), st.floats(0.0, CHECK_EVERY_S), st.floats(0.0, 100.0))
def test_no_standstill_of_all_processes_is_a_hang(
    message_age_s: float, check_age_s: float, pause_s: float
) -> None:
    """Whenever it begins, and however long it is; the worker reports half a second after its end at the latest."""
    begin_s = 10.0
    last_s, message_s = begin_s - check_age_s, begin_s - message_age_s
    silence = Silence(message_s, message_s, heard=True)
    now_s = max(last_s + CHECK_EVERY_S, begin_s + pause_s)
    reported_s = max(message_s + REPORT_EVERY_S, begin_s + pause_s) + 0.2
    while now_s < reported_s:
        silence = silence.checked(Check(now_s, last_s, CHECK_EVERY_S), message_s)
        assert not silence.hung(now_s, SHORTEST_WATCHDOG_S)
        last_s, now_s = now_s, now_s + CHECK_EVERY_S


@pytest.mark.parametrize("watchdog_s", [FIRST_MESSAGE_WITHIN_S / 2, FIRST_MESSAGE_WITHIN_S * 2])
def test_the_start_may_take_as_long_as_a_long_watchdog(watchdog_s: float) -> None:
    limit_s = max(watchdog_s, FIRST_MESSAGE_WITHIN_S)
    assert not Silence.from_start(0.0).hung(limit_s, watchdog_s)
    assert Silence.from_start(0.0).hung(limit_s + 0.1, watchdog_s)


@pytest.mark.parametrize(("delay_s", "late"), [(0.0, False), (LATE_S - 0.1, False), (LATE_S + 0.1, True)])
def test_lateness(delay_s: float, late: bool) -> None:
    assert is_late(5.0, 5.0 + delay_s) == late
    assert Check(5.0 + delay_s, 5.0 - CHECK_EVERY_S, CHECK_EVERY_S).late == late
