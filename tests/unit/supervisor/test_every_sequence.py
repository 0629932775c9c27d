"""Every sequence of events that can happen to a bus, up to six long, explored by a model of the world around the table.

The model has what the table decides about: the worker, the port and the timer. `decide` depends on the lifecycle alone, so
that sequences which lead to the same situation are explored together from there on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from cancorderd.supervisor.state_machine import (
    ALIVE,
    Action,
    Event,
    Lifecycle,
    Policy,
    SetTimer,
    State,
    decide,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LENGTH = 6
POLICY = Policy()
MIDDLE = 0.5
COMMANDS = (Event.START, Event.STOP, Event.DISABLE, Event.RESTART)
REPORTS = (Event.WORKER_WAITING, Event.WORKER_RUNNING, Event.HUNG)
ENDS = (Event.ENDED, Event.CAN_ERROR, Event.REFUSED, Event.CRASHED)
NOT_STARTED = (Event.PORT_UNAVAILABLE, Event.START_FAILED)
RESTING = (State.STOPPED, State.DISABLED)
OWN_TIMERS = {
    State.WAITING: (State.WAITING, State.RUNNING),
    State.RUNNING: (State.WAITING, State.RUNNING),
    State.BACKOFF: (State.BACKOFF,),
    State.FAILED: (State.FAILED,),
    State.STOPPING: (State.STOPPING,),
}
"""The states in which a timer may have been set that runs in this state."""


class WrongError(Exception):
    """Something that must never happen."""


@dataclass(frozen=True)
class World:
    lifecycle: Lifecycle
    worker: bool = False
    killed: bool = False
    """Whether the worker was sent SIGKILL, which always ends it."""
    port: bool = False
    timer: State | None = None
    """The state in which the timer was set that runs."""
    unspawned: bool = False
    """Whether the start of a worker was decided; it succeeds or fails before anything else happens."""


def happen(before: World, event: Event) -> World:
    """Return the world after `event`. Raises WrongError."""
    if event is Event.TIMER:
        before = replace(before, timer=None)
    elif event in ENDS:
        before = replace(before, worker=False, killed=False)
    elif event in NOT_STARTED:
        before = replace(before, unspawned=False, port=before.port and event is Event.START_FAILED)
    lifecycle, effects = decide(before.lifecycle, event, POLICY, MIDDLE)
    after = replace(before, lifecycle=lifecycle)
    for effect in effects:
        match effect:
            case Action.SPAWN:
                if after.worker:
                    raise WrongError("two workers")
                after = replace(after, unspawned=True, port=True)
            case Action.TERMINATE | Action.ABORT | Action.KILL:
                if not after.worker:
                    raise WrongError(f"{effect.value} without a worker")
                after = replace(after, killed=effect is Action.KILL)
            case Action.CLOSE_PORT:
                after = replace(after, port=False)
            case SetTimer(seconds):
                if not 0.1 < seconds < 100:
                    raise WrongError(f"a timer of {seconds} s")
                after = replace(after, timer=lifecycle.state)
            case Action.CANCEL_TIMER:
                after = replace(after, timer=None)
    return after


def spawned(world: World) -> World:
    """Return the world in which the worker's start has succeeded."""
    return replace(world, worker=True, unspawned=False)


def check(world: World) -> None:
    """Raise WrongError if the world is one that must not be."""
    state = world.lifecycle.state
    if world.worker != (state in ALIVE or state is State.STOPPING):
        raise WrongError("a worker runs" if world.worker else "no worker runs")
    if state in RESTING and world.port:
        raise WrongError("the port is open")
    if world.timer and world.timer not in OWN_TIMERS.get(state, ()):
        raise WrongError(f"a timer of {world.timer} runs")
    # States that end by themselves; a living worker is watched by its heartbeat.
    if state is State.BACKOFF and not world.timer:
        raise WrongError("dead end: no timer")
    if state is State.STOPPING and not (world.timer or world.killed):
        raise WrongError("dead end: nothing ends the worker")
    leads_out(world)


def leads_out(world: World) -> None:
    """Raise WrongError unless the commands stop and start lead to rest and to a worker from here."""
    stopped = happen(world, Event.STOP)
    if stopped.worker:
        stopped = happen(stopped, Event.ENDED)
    resting = stopped.lifecycle.state
    if resting not in RESTING or stopped.worker or stopped.port or stopped.timer:
        raise WrongError(f"stop leads to {stopped}")
    started = happen(world, Event.START)
    if started.lifecycle.state is State.STOPPING:
        started = happen(started, Event.ENDED)
    if not (started.unspawned or started.worker) or started.lifecycle.state not in ALIVE:
        raise WrongError(f"start leads to {started}")


def possible(world: World) -> Iterator[Event]:
    """Yield the events that can come next."""
    yield from COMMANDS
    if world.timer:
        yield Event.TIMER
    if world.worker:
        yield from REPORTS
        yield from ENDS


def next_worlds(world: World) -> Iterator[tuple[str, World]]:
    for event in possible(world):
        after = happen(world, event)
        if not after.unspawned:
            yield event.value, after
            continue
        yield event.value, spawned(after)
        for failure in NOT_STARTED:
            yield f"{event.value}, {failure.value}", happen(after, failure)


def explore(length: int) -> dict[World, tuple[str, ...]]:
    """Return every world within `length` events of a bus that is stopped or disabled, with the shortest way there.

    Raises AssertionError with the events that lead to something wrong.
    """
    starts = [World(Lifecycle(state=state)) for state in RESTING]
    found: dict[World, tuple[str, ...]] = {world: (world.lifecycle.state.value,) for world in starts}
    edge: Sequence[World] = starts
    for _ in range(length):
        reached = []
        for world in edge:
            way = found[world]
            try:
                for event, after in next_worlds(world):
                    if after not in found:
                        found[after] = (*way, event)
                        check(after)
                        reached.append(after)
            except (WrongError, AssertionError) as error:
                raise AssertionError(f"{error}: in {world}, after {way}") from error
        edge = reached
    return found


def test_no_sequence_of_six_events_leads_to_a_dead_end_two_workers_or_an_open_port_at_rest() -> None:
    found = explore(LENGTH)
    assert {world.lifecycle.state for world in found} == set(State)
    assert max(len(way) for way in found.values()) == 1 + LENGTH


@pytest.mark.parametrize(
    ("state", "event", "wrong"),
    [
        (State.STARTING, Event.STOP, "nothing ends the worker"),
        (State.RUNNING, Event.STOP, "a timer of running runs"),
        (State.BACKOFF, Event.STOP, "stop leads to .* port=True"),
        (State.STARTING, Event.CAN_ERROR, "no timer"),
        (State.STOPPING, Event.TIMER, "nothing ends the worker"),
    ],
)
def test_the_model_finds_an_effect_that_is_missing(
    state: State, event: Event, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decide

    def without_effects(
        lifecycle: Lifecycle, happened: Event, policy: Policy, chance: float
    ) -> tuple[Lifecycle, list[object]]:
        after, effects = whole(lifecycle, happened, policy, chance)
        return after, [] if (lifecycle.state, happened) == (state, event) else list(effects)

    monkeypatch.setattr(f"{__name__}.decide", without_effects)
    with pytest.raises(AssertionError, match=wrong):
        explore(LENGTH)


def test_the_model_finds_a_second_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decide

    def start_spawns_again(
        lifecycle: Lifecycle, event: Event, policy: Policy, chance: float
    ) -> tuple[Lifecycle, list[object]]:
        after, effects = whole(lifecycle, event, policy, chance)
        again = lifecycle.state is State.RUNNING and event is Event.START
        return after, [Action.SPAWN] if again else list(effects)

    monkeypatch.setattr(f"{__name__}.decide", start_spawns_again)
    with pytest.raises(AssertionError, match="two workers"):
        explore(LENGTH)
