"""The transition table, compared pair by pair with a second table that is written down independently."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cancorderd.supervisor.state_machine import (
    ALIVE,
    ENDINGS,
    TRANSITIONS,
    Action,
    Effect,
    Event,
    Lifecycle,
    Policy,
    SetTimer,
    State,
    decide,
)
from contrib.architecture import draw_states

POLICY = Policy()
MIDDLE = 0.5
"""The chance that leaves delays without jitter."""

TERMINATE: list[Effect] = [Action.TERMINATE, SetTimer(1.5)]
RESPAWN = [Action.CANCEL_TIMER, Action.SPAWN]
REST = [Action.CANCEL_TIMER, Action.CLOSE_PORT]

Row = tuple[State | None, Sequence[Effect]]
"""The state that follows (None: the same), and the effects."""
EXPECTED: dict[tuple[State, Event], Row] = {}


def row(states: list[State], events: list[Event], to: State | None, effects: Sequence[Effect]) -> None:
    for pair in itertools.product(states, events):
        assert pair not in EXPECTED, f"expected twice: {pair}"
        EXPECTED[pair] = (to, effects)


ALIVE_STATES = list(ALIVE)
ALL_ENDINGS = list(ENDINGS)
REPORTS = [Event.WORKER_WAITING, Event.WORKER_RUNNING, Event.HUNG]

row([State.DISABLED, State.STOPPED], [Event.START], State.STARTING, [Action.SPAWN])
row([State.STOPPED], [Event.RESTART], State.STARTING, [Action.SPAWN])
row([State.DISABLED], [Event.RESTART, Event.STOP, Event.DISABLE], None, [])
row([State.STOPPED], [Event.STOP], None, [])
row([State.STOPPED], [Event.DISABLE], State.DISABLED, [])
row([State.BACKOFF, State.FAILED], [Event.START, Event.RESTART], State.STARTING, RESPAWN)
row([State.BACKOFF, State.FAILED], [Event.STOP], State.STOPPED, REST)
row([State.BACKOFF, State.FAILED], [Event.DISABLE], State.DISABLED, REST)
row([State.FAILED], [Event.ADAPTER_BACK], State.STARTING, RESPAWN)
row(
    [State.DISABLED, State.STOPPED, State.BACKOFF, State.STOPPING, *ALIVE_STATES],
    [Event.ADAPTER_BACK],
    None,
    [],
)
row(ALIVE_STATES, [Event.START], None, [])
row(ALIVE_STATES, [Event.STOP, Event.DISABLE, Event.RESTART], State.STOPPING, TERMINATE)
row([State.STOPPING], [Event.START, Event.STOP, Event.DISABLE, Event.RESTART], None, [])

row([State.STARTING], [Event.WORKER_WAITING], State.WAITING, [SetTimer(30.0)])
row([State.RUNNING], [Event.WORKER_WAITING], State.WAITING, [])
row([State.WAITING], [Event.WORKER_WAITING], None, [])
row([State.STARTING], [Event.WORKER_RUNNING], State.RUNNING, [SetTimer(30.0)])
row([State.WAITING], [Event.WORKER_RUNNING], State.RUNNING, [])
row([State.RUNNING], [Event.WORKER_RUNNING], None, [])
row(ALIVE_STATES, [Event.HUNG], State.STOPPING, TERMINATE)

row(ALIVE_STATES, [Event.TIMER], None, [])
row([State.BACKOFF, State.FAILED], [Event.TIMER], State.STARTING, [Action.SPAWN])
ABORT: list[Effect] = [Action.ABORT, SetTimer(0.5)]
row([State.STOPPING], [Event.TIMER], None, ABORT)

row(ALIVE_STATES, [Event.ENDED, Event.CAN_ERROR], State.BACKOFF, [SetTimer(0.25)])
row(ALIVE_STATES, [Event.CRASHED], State.BACKOFF, [SetTimer(1.0)])
row(ALIVE_STATES, [Event.REFUSED], State.FAILED, [Action.CANCEL_TIMER])
row(ALIVE_STATES, [Event.PORT_UNAVAILABLE, Event.START_FAILED], State.FAILED, [SetTimer(2.0)])
row([State.STOPPING], ALL_ENDINGS, State.STOPPED, REST)

WITHOUT_WORKER = [State.DISABLED, State.STOPPED, State.BACKOFF, State.FAILED]
row(WITHOUT_WORKER, [*REPORTS, *ALL_ENDINGS], None, [])
row([State.DISABLED, State.STOPPED], [Event.TIMER], None, [])
row([State.STOPPING], REPORTS, None, [])


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("state", State)
def test_every_state_and_event(state: State, event: Event) -> None:
    to, effects = EXPECTED[state, event]
    # `goal` and `aborted` are as STOPPING has them right after it began.
    before = Lifecycle(state=state, goal=State.STOPPED, aborted=False)
    after, found = decide(before, event, POLICY, MIDDLE)
    assert (after.state, found) == (to or state, list(effects))


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("state", State)
def test_exactly_one_transition_applies(state: State, event: Event) -> None:
    goals = (State.STOPPED, State.DISABLED, State.STARTING, State.BACKOFF)
    for goal, aborted, proved in itertools.product(goals, (False, True), (False, True)):
        lifecycle = Lifecycle(state=state, goal=goal, aborted=aborted, proved=proved)
        applicable = [
            transition
            for transition in TRANSITIONS
            if state in transition.states
            and event in transition.events
            and (transition.guard is None or transition.guard.holds(lifecycle))
        ]
        assert len(applicable) == 1, lifecycle


def test_the_architecture_page_has_the_current_drawing() -> None:
    assert draw_states.block() in draw_states.PAGE.read_text(), "run contrib/architecture/draw_states.py"


@pytest.mark.parametrize(
    ("event", "goal"),
    [
        (Event.START, State.STARTING),
        (Event.RESTART, State.STARTING),
        (Event.STOP, State.STOPPED),
        (Event.DISABLE, State.DISABLED),
    ],
)
def test_the_latest_request_decides_the_state_after_stopping(event: Event, goal: State) -> None:
    stopping, _ = decide(Lifecycle(state=State.RUNNING), Event.STOP, POLICY, MIDDLE)
    stopping, _ = decide(stopping, event, POLICY, MIDDLE)
    after, effects = decide(stopping, Event.ENDED, POLICY, MIDDLE)
    assert after.state == goal
    assert effects == (RESPAWN if goal == State.STARTING else REST)


def test_stopping_escalates_to_sigkill() -> None:
    lifecycle, effects = decide(Lifecycle(state=State.RUNNING), Event.STOP, POLICY, MIDDLE)
    seen = [*effects]
    for _ in range(3):
        lifecycle, effects = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
        seen += effects
    assert [effect for effect in seen if isinstance(effect, Action)] == [
        Action.TERMINATE,
        Action.ABORT,
        Action.KILL,
        Action.KILL,
    ]
    assert POLICY.terminate_s + POLICY.abort_s <= 2.0, "the daemon promises to end within 3 s"


def test_the_next_stop_begins_with_sigterm_again() -> None:
    aborted = Lifecycle(state=State.RUNNING, aborted=True)
    lifecycle, _ = decide(aborted, Event.STOP, POLICY, MIDDLE)
    _, effects = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    assert effects[0] == Action.ABORT


def test_hung_worker_counts_as_a_crash() -> None:
    lifecycle, _ = decide(Lifecycle(state=State.RUNNING), Event.HUNG, POLICY, MIDDLE)
    lifecycle, effects = decide(lifecycle, Event.CRASHED, POLICY, MIDDLE)
    assert (lifecycle.state, lifecycle.crashes, effects) == (State.BACKOFF, 1, [SetTimer(1.0)])


def delays(event: Event, count: int) -> list[float]:
    lifecycle = Lifecycle(state=State.RUNNING)
    found = []
    for _ in range(count):
        lifecycle, effects = decide(lifecycle, event, POLICY, MIDDLE)
        timer = effects[0]
        assert isinstance(timer, SetTimer)
        found.append(timer.seconds)
        lifecycle, _ = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    return found


def test_can_errors_wait_from_a_quarter_second_to_ten() -> None:
    assert delays(Event.CAN_ERROR, 8) == [0.25, 0.5, 1, 2, 4, 8, 10, 10]


def test_crashes_wait_from_one_second_to_sixty() -> None:
    assert delays(Event.CRASHED, 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_delays_never_overflow() -> None:
    assert delays(Event.CRASHED, 2000)[-1] == 60


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 0.8), (1.0, 1.2)])
def test_delays_have_jitter(chance: float, expected: float) -> None:
    _, effects = decide(Lifecycle(state=State.RUNNING), Event.CRASHED, POLICY, chance)
    (timer,) = effects
    assert isinstance(timer, SetTimer)
    assert timer.seconds == pytest.approx(expected)


@pytest.mark.parametrize("report", [Event.WORKER_RUNNING, Event.WORKER_WAITING])
@pytest.mark.parametrize("end", [[Event.CRASHED], [Event.HUNG, Event.ENDED]])
def test_a_worker_that_ran_for_30_s_is_replaced_at_once(report: Event, end: list[Event]) -> None:
    lifecycle, effects = decide(Lifecycle(state=State.STARTING), report, POLICY, MIDDLE)
    assert effects == [SetTimer(30.0)]
    for event in [Event.TIMER, *end]:
        lifecycle, effects = decide(lifecycle, event, POLICY, MIDDLE)
    assert (lifecycle.state, lifecycle.restarts, effects) == (State.STARTING, 1, RESPAWN)
    # The next worker has to run for as long; until then, the delays of crashes in a row double.
    found = []
    for _ in range(3):
        for event in (report, Event.CRASHED):
            lifecycle, effects = decide(lifecycle, event, POLICY, MIDDLE)
        found += [effect.seconds for effect in effects if isinstance(effect, SetTimer)]
        lifecycle, _ = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    assert found == [1.0, 2.0, 4.0]


def test_each_worker_has_to_prove_itself() -> None:
    lifecycle = Lifecycle(state=State.RUNNING, proved=True)
    lifecycle, effects = decide(lifecycle, Event.CRASHED, POLICY, MIDDLE)
    while Action.SPAWN not in effects:
        lifecycle, effects = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    assert lifecycle == replace(lifecycle, state=State.STARTING, proved=False)


def test_an_adapter_that_comes_and_goes_does_not_keep_a_worker_from_proving_itself() -> None:
    lifecycle = Lifecycle(state=State.STARTING, crashes=3)
    seen = []
    for report in (Event.WORKER_WAITING, Event.WORKER_RUNNING, Event.WORKER_WAITING, Event.WORKER_RUNNING):
        lifecycle, effects = decide(lifecycle, report, POLICY, MIDDLE)
        seen += effects
    assert seen == [SetTimer(30.0)], "one timer, from the first report"
    lifecycle, _ = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    assert (lifecycle.crashes, lifecycle.proved) == (0, True)


@pytest.mark.parametrize(
    ("lifecycle", "wanted"),
    [
        (Lifecycle(state=State.DISABLED), False),
        (Lifecycle(state=State.STOPPED), False),
        (Lifecycle(state=State.BACKOFF), True),
        (Lifecycle(state=State.FAILED), True),
        (Lifecycle(state=State.WAITING), True),
        (Lifecycle(state=State.STOPPING, goal=State.STOPPED), False),
        (Lifecycle(state=State.STOPPING, goal=State.DISABLED), False),
        (Lifecycle(state=State.STOPPING, goal=State.STARTING), True),
        (Lifecycle(state=State.STOPPING, goal=State.BACKOFF), True),
    ],
)
def test_a_bus_is_wanted_if_it_runs_or_will_run_again(lifecycle: Lifecycle, wanted: bool) -> None:
    assert lifecycle.wanted == wanted


@pytest.mark.parametrize("state", [State.RUNNING, State.WAITING])
def test_delays_start_over_after_30_s(state: State) -> None:
    lifecycle = Lifecycle(state=state, errors=5, crashes=3)
    lifecycle, _ = decide(lifecycle, Event.TIMER, POLICY, MIDDLE)
    assert (lifecycle.errors, lifecycle.crashes) == (0, 0)


def test_an_absent_adapter_resets_the_delays_of_errors_but_not_of_crashes() -> None:
    before = Lifecycle(state=State.STARTING, errors=5, crashes=3)
    lifecycle, _ = decide(before, Event.WORKER_WAITING, POLICY, MIDDLE)
    assert (lifecycle.errors, lifecycle.crashes) == (0, 3)


@pytest.mark.parametrize("state", [State.BACKOFF, State.FAILED, State.STOPPED])
@pytest.mark.parametrize("event", [Event.START, Event.RESTART])
def test_a_request_resets_the_delays(state: State, event: Event) -> None:
    lifecycle, _ = decide(Lifecycle(state=state, errors=5, crashes=3), event, POLICY, MIDDLE)
    assert (lifecycle.errors, lifecycle.crashes) == (0, 0)


def test_a_restart_of_a_running_bus_resets_the_delays() -> None:
    lifecycle = Lifecycle(state=State.RUNNING, errors=5, crashes=3)
    for event in (Event.RESTART, Event.ENDED):
        lifecycle, _ = decide(lifecycle, event, POLICY, MIDDLE)
    assert (lifecycle.state, lifecycle.errors, lifecycle.crashes) == (State.STARTING, 0, 0)


def test_restarts_count_workers_started_in_place_of_failed_ones() -> None:
    lifecycle = replace(Lifecycle(state=State.RUNNING), restarts=2)
    for event in (Event.CAN_ERROR, Event.TIMER, Event.WORKER_RUNNING, Event.CRASHED, Event.TIMER):
        lifecycle, _ = decide(lifecycle, event, POLICY, MIDDLE)
    assert lifecycle.restarts == 4
    for event in (Event.RESTART, Event.ENDED):
        lifecycle, _ = decide(lifecycle, event, POLICY, MIDDLE)
    assert lifecycle.restarts == 4
