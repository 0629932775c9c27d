"""Walks every (phase, event): what follows is written down in one table, so no pair is left undecided."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from cancorderd.supervisor.machine import CANCEL_TIMER, Action, Event, Life, Phase, Policy, SetTimer, step

POLICY = Policy()
MIDDLE = 0.5
"""The chance that leaves delays as they are."""

ALIVE = [Phase.STARTING, Phase.WAITING, Phase.RUNNING]
TERMINATE = [Action.TERMINATE, SetTimer(1.5)]
SPAWN_ANEW = [CANCEL_TIMER, Action.SPAWN]
LEAVE = [CANCEL_TIMER, Action.CLOSE_PORT]

# (phases, event): (phase that follows or None for the same, steps)
Row = tuple[Phase | None, list[object]]
NOTHING: Row = (None, [])
TABLE: dict[tuple[Phase, Event], Row] = {}


def row(phases: list[Phase], events: list[Event], then: Phase | None, steps: list[object]) -> None:
    for phase, event in itertools.product(phases, events):
        assert (phase, event) not in TABLE, f"decided twice: {phase}, {event}"
        TABLE[phase, event] = (then, steps)


row([Phase.DISABLED, Phase.STOPPED], [Event.START], Phase.STARTING, [Action.SPAWN])
row([Phase.STOPPED], [Event.RESTART], Phase.STARTING, [Action.SPAWN])
row([Phase.DISABLED], [Event.RESTART, Event.STOP, Event.DISABLE], None, [])
row([Phase.STOPPED], [Event.STOP], None, [])
row([Phase.STOPPED], [Event.DISABLE], Phase.DISABLED, [])
row([Phase.BACKOFF, Phase.FAILED], [Event.START, Event.RESTART], Phase.STARTING, SPAWN_ANEW)
row([Phase.BACKOFF, Phase.FAILED], [Event.STOP], Phase.STOPPED, LEAVE)
row([Phase.BACKOFF, Phase.FAILED], [Event.DISABLE], Phase.DISABLED, LEAVE)
row(ALIVE, [Event.START], None, [])
row(ALIVE, [Event.STOP, Event.DISABLE, Event.RESTART], Phase.STOPPING, TERMINATE)
row([Phase.STOPPING], [Event.START, Event.STOP, Event.DISABLE, Event.RESTART], None, [])

row([Phase.STARTING, Phase.RUNNING], [Event.TOLD_WAITING], Phase.WAITING, [CANCEL_TIMER])
row([Phase.WAITING], [Event.TOLD_WAITING], None, [])
row([Phase.STARTING, Phase.WAITING], [Event.TOLD_RUNNING], Phase.RUNNING, [SetTimer(30.0)])
row([Phase.RUNNING], [Event.TOLD_RUNNING], None, [])
row(ALIVE, [Event.HUNG], Phase.STOPPING, TERMINATE)

row([Phase.STARTING, Phase.WAITING, Phase.RUNNING], [Event.TIMER], None, [])
row([Phase.BACKOFF, Phase.FAILED], [Event.TIMER], Phase.STARTING, [Action.SPAWN])
row([Phase.STOPPING], [Event.TIMER], None, [Action.ABORT, SetTimer(0.5)])

row(ALIVE, [Event.ENDED, Event.CAN_ERROR], Phase.BACKOFF, [SetTimer(0.25)])
row(ALIVE, [Event.CRASHED], Phase.BACKOFF, [SetTimer(1.0)])
row(ALIVE, [Event.REFUSED], Phase.FAILED, [CANCEL_TIMER])
row(ALIVE, [Event.PORT_TAKEN], Phase.FAILED, [SetTimer(2.0)])
ENDS = [Event.ENDED, Event.CAN_ERROR, Event.CRASHED, Event.REFUSED, Event.PORT_TAKEN]
row([Phase.STOPPING], ENDS, Phase.STOPPED, LEAVE)

AT_REST = [Phase.DISABLED, Phase.STOPPED, Phase.BACKOFF, Phase.FAILED]
row(AT_REST, [Event.TOLD_WAITING, Event.TOLD_RUNNING, Event.HUNG, *ENDS], None, [])
row([Phase.DISABLED, Phase.STOPPED], [Event.TIMER], None, [])
row([Phase.STOPPING], [Event.TOLD_WAITING, Event.TOLD_RUNNING, Event.HUNG], None, [])


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("phase", Phase)
def test_every_phase_and_event(phase: Phase, event: Event) -> None:
    then, steps = TABLE[phase, event]
    # `signals` and `then` are as STOPPING has them right after it began.
    before = Life(phase=phase, then=Phase.STOPPED, signals=1)
    after, found = step(before, event, POLICY, MIDDLE)
    assert (after.phase, found) == (then or phase, steps)


@pytest.mark.parametrize(
    ("event", "goal"),
    [
        (Event.START, Phase.STARTING),
        (Event.RESTART, Phase.STARTING),
        (Event.STOP, Phase.STOPPED),
        (Event.DISABLE, Phase.DISABLED),
    ],
)
def test_what_was_asked_last_decides_where_stopping_leads(event: Event, goal: Phase) -> None:
    stopping, _ = step(Life(phase=Phase.RUNNING), Event.STOP, POLICY, MIDDLE)
    stopping, _ = step(stopping, event, POLICY, MIDDLE)
    after, steps = step(stopping, Event.ENDED, POLICY, MIDDLE)
    assert after.phase == goal
    assert steps == (SPAWN_ANEW if goal == Phase.STARTING else LEAVE)


def test_stopping_gets_louder_until_sigkill() -> None:
    life, steps = step(Life(phase=Phase.RUNNING), Event.STOP, POLICY, MIDDLE)
    heard = [*steps]
    for _ in range(3):
        life, steps = step(life, Event.TIMER, POLICY, MIDDLE)
        heard += steps
    assert [one for one in heard if isinstance(one, Action)] == [
        Action.TERMINATE,
        Action.ABORT,
        Action.KILL,
        Action.KILL,
    ]
    assert POLICY.terminate_s + POLICY.abort_s <= 2.0, "the daemon promises to end within 3 s"


def test_hung_worker_counts_as_a_crash() -> None:
    life, _ = step(Life(phase=Phase.RUNNING), Event.HUNG, POLICY, MIDDLE)
    life, steps = step(life, Event.CRASHED, POLICY, MIDDLE)
    assert (life.phase, life.crashes, steps) == (Phase.BACKOFF, 1, [SetTimer(1.0)])


def delays(event: Event, count: int) -> list[float]:
    life = Life(phase=Phase.RUNNING)
    found = []
    for _ in range(count):
        life, steps = step(life, event, POLICY, MIDDLE)
        timer = steps[0]
        assert isinstance(timer, SetTimer)
        found.append(timer.seconds)
        life, _ = step(life, Event.TIMER, POLICY, MIDDLE)
    return found


def test_can_errors_wait_from_a_quarter_second_to_ten() -> None:
    assert delays(Event.CAN_ERROR, 8) == [0.25, 0.5, 1, 2, 4, 8, 10, 10]


def test_crashes_wait_from_one_second_to_sixty() -> None:
    assert delays(Event.CRASHED, 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_delays_never_overflow() -> None:
    assert delays(Event.CRASHED, 2000)[-1] == 60


def test_delays_start_over_after_running_for_30_s() -> None:
    life = Life(phase=Phase.RUNNING, errors=5, crashes=3)
    life, _ = step(life, Event.TIMER, POLICY, MIDDLE)
    assert (life.errors, life.crashes) == (0, 0)


def test_absent_adapter_makes_the_delays_of_can_errors_start_over_but_not_those_of_crashes() -> None:
    life, _ = step(Life(phase=Phase.STARTING, errors=5, crashes=3), Event.TOLD_WAITING, POLICY, MIDDLE)
    assert (life.errors, life.crashes) == (0, 3)


@pytest.mark.parametrize("event", [Event.START, Event.RESTART])
def test_asking_makes_the_delays_start_over(event: Event) -> None:
    life, _ = step(Life(phase=Phase.BACKOFF, errors=5, crashes=3), event, POLICY, MIDDLE)
    assert (life.errors, life.crashes) == (0, 0)


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 0.8), (1.0, 1.2)])
def test_jitter(chance: float, expected: float) -> None:
    assert POLICY.delay_s(1, crash=True, chance=chance) == pytest.approx(expected)


def test_restarts_count_workers_started_in_place_of_failed_ones() -> None:
    life = replace(Life(phase=Phase.RUNNING), restarts=2)
    for event in (Event.CAN_ERROR, Event.TIMER, Event.TOLD_RUNNING, Event.CRASHED, Event.TIMER):
        life, _ = step(life, event, POLICY, MIDDLE)
    assert life.restarts == 4
    for event in (Event.RESTART, Event.ENDED):
        life, _ = step(life, event, POLICY, MIDDLE)
    assert life.restarts == 4
