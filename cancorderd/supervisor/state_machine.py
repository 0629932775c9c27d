"""When the worker of a bus is started, stopped and restarted. Pure.

`TRANSITIONS` is the whole decision, as data: `decide` looks an event up in it, and contrib/architecture draws
it for the architecture page. `bus` carries the effects out: it spawns, signals and sets timers. Chance is
an argument, so that a test can walk the table.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cancorderd.ipc.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable


class State(enum.StrEnum):
    """State of a bus, by the name that `status` shows."""

    DISABLED = "disabled"
    STARTING = "starting"
    WAITING = "waiting"
    """The worker runs; its adapter is absent, or not proved to work as configured."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """No worker runs; the next worker starts after a delay."""
    FAILED = "failed"
    """No worker runs, and a new worker would fail in the same way until something is changed. A start that
    failed is tried again."""
    STOPPING = "stopping"
    STOPPED = "stopped"


class Event(enum.Enum):
    """Something that happened to a bus; the value is its label in the drawing."""

    START = "start"
    STOP = "stop"
    DISABLE = "disabled or removed"
    """By a reload."""
    RESTART = "restart"
    """By request, or because the settings changed."""
    WORKER_WAITING = "adapter absent or not proved"
    """The worker reports that it waits for its adapter, or for the proof that the adapter works."""
    WORKER_RUNNING = "adapter open"
    """The worker reports that it can receive frames."""
    ADAPTER_BACK = "adapter is back"
    """The adapter of a failed bus was away and is there again."""
    HUNG = "no heartbeat"
    """For longer than `watchdog` allows."""
    TIMER = "timer"
    ENDED = "worker ended"
    """In good order."""
    CAN_ERROR = "CAN error"
    """The worker ended because the bus or its adapter failed."""
    REFUSED = "settings refused"
    """The worker ended because its settings cannot work."""
    CRASHED = "worker crashed"
    """The worker ended in any other way."""
    PORT_UNAVAILABLE = "port unavailable"
    """The port could not be bound."""
    START_FAILED = "start failed"
    """No worker could be started: no descriptor, process or memory was free, or its program is gone."""


class Action(enum.Enum):
    """Effect without parameters; the value is its label in the drawing."""

    SPAWN = "start a worker"
    """Opens the port first if it is closed."""
    TERMINATE = "SIGTERM"
    ABORT = "SIGABRT"
    """The worker writes a trace of the place where it hangs."""
    KILL = "SIGKILL"
    CLOSE_PORT = "close the port"
    """Disconnects the clients and withdraws the Zeroconf record, too."""
    CANCEL_TIMER = "cancel the timer"


@dataclass(frozen=True)
class SetTimer:
    """Effect: replace the bus's only timer."""

    seconds: float


Effect: TypeAlias = Action | SetTimer


class Delay(enum.Enum):
    """Timer of a transition, by its purpose; `Policy` knows the seconds."""

    STABLE = "timer until stable"
    TERMINATE = "timer until SIGABRT"
    ABORT = "timer until SIGKILL"
    START_AGAIN = "timer until the start is tried again"
    AFTER_ERROR = "back-off of errors"
    AFTER_CRASH = "back-off of crashes"


class Tally(enum.Enum):
    """Change of the counters in `Lifecycle`."""

    COUNT_ERROR = "count an error"
    COUNT_CRASH = "count a crash"
    COUNT_RESTART = "count a restart"
    FORGET_ERRORS = "forget the errors"
    FORGET_FAILURES = "forget errors and crashes"
    PROVE = "the worker has proved itself"
    """It ran long enough that its crash is mended at once."""


_JITTER = 0.2
_ERRORS = Backoff(0.25, 10.0, _JITTER)
_CRASHES = Backoff(1.0, 60.0, _JITTER)


@dataclass(frozen=True)
class Policy:
    """Delays, in seconds."""

    errors: Backoff = _ERRORS
    crashes: Backoff = _CRASHES
    stable_s: float = 30.0
    """After this time in RUNNING or WAITING, the delays start over."""
    terminate_s: float = 1.5
    """From SIGTERM to SIGABRT: releasing a device takes a moment."""
    abort_s: float = 0.5
    """From SIGABRT to SIGKILL."""
    start_again_s: float = 2.0
    """After a start that failed."""

    def seconds(self, delay: Delay, lifecycle: Lifecycle, chance: float) -> float:
        """Return the length of a timer; `chance`, from 0 to 1, selects a value within the jitter."""
        match delay:
            case Delay.STABLE:
                return self.stable_s
            case Delay.TERMINATE:
                return self.terminate_s
            case Delay.ABORT:
                return self.abort_s
            case Delay.START_AGAIN:
                return self.start_again_s
            case Delay.AFTER_ERROR:
                return self.errors.delay_s(lifecycle.errors, chance)
            case Delay.AFTER_CRASH:
                return self.crashes.delay_s(lifecycle.crashes, chance)


@dataclass(frozen=True)
class Lifecycle:
    """The state of a bus, and everything else that the next decision depends on."""

    state: State = State.STOPPED
    errors: int = 0
    """CAN errors in a row."""
    crashes: int = 0
    """Crashes in a row."""
    goal: State = State.STOPPED
    """The state that follows STOPPING."""
    aborted: bool = False
    """Whether SIGABRT was sent since STOPPING began."""
    proved: bool = False
    """Whether the worker has run for `Policy.stable_s`."""
    restarts: int = 0
    """Workers started in place of failed workers since the daemon started."""

    @property
    def wanted(self) -> bool:
        """Whether the bus is meant to run: now, after a delay, or as soon as its last worker has ended."""
        return (self.goal if self.state == State.STOPPING else self.state) not in _AT_REST


class Guard(NamedTuple):
    """Condition of a transition, besides its state and event."""

    text: str
    holds: Callable[[Lifecycle], bool]


def _goal_is(goal: State) -> Guard:
    return Guard(f"goal is {goal}", lambda lifecycle: lifecycle.goal == goal)


def _hung(*, proved: bool) -> Guard:
    """Return the guard of a hung worker's end."""
    return Guard(
        f"goal is {State.BACKOFF}, {_PROVED.text if proved else _NOT_PROVED.text}",
        lambda lifecycle: lifecycle.goal == State.BACKOFF and lifecycle.proved == proved,
    )


_PROVED = Guard("ran for 30 s", lambda lifecycle: lifecycle.proved)
_NOT_PROVED = Guard("ran for less", lambda lifecycle: not lifecycle.proved)

_FIRST_TIMER = Guard("first time", lambda lifecycle: not lifecycle.aborted)
_LATER_TIMER = Guard("later", lambda lifecycle: lifecycle.aborted)


class Transition(NamedTuple):
    """Reaction to any of `events` in any of `states`."""

    states: tuple[State, ...]
    events: tuple[Event, ...]
    to: State | None = None
    """The new state; None if the state stays the same."""
    steps: tuple[Tally | Action | Delay, ...] = ()
    """In order: a delay depends on the counters before it."""
    goal: State | None = None
    """The new goal of STOPPING; None if the goal stays the same."""
    guard: Guard | None = None


ALIVE = (State.STARTING, State.WAITING, State.RUNNING)
"""States in which a worker runs and is meant to."""
_AT_REST = (State.DISABLED, State.STOPPED)
_RETRYING = (State.BACKOFF, State.FAILED)
_STOPPING = (State.STOPPING,)
_REPORTS = (Event.WORKER_WAITING, Event.WORKER_RUNNING, Event.HUNG)
_NOT_STARTED = (Event.PORT_UNAVAILABLE, Event.START_FAILED)
ENDINGS = (Event.ENDED, Event.CAN_ERROR, Event.REFUSED, Event.CRASHED, *_NOT_STARTED)
"""The worker has ended, or could not be started."""

_FRESH_START = (Tally.FORGET_FAILURES, Action.SPAWN)
_FRESH_RESTART = (Tally.FORGET_FAILURES, Action.CANCEL_TIMER, Action.SPAWN)
_REST = (Action.CANCEL_TIMER, Action.CLOSE_PORT)
_TERMINATE = (Action.TERMINATE, Delay.TERMINATE)
_BACK_OFF_ERROR = (Tally.COUNT_ERROR, Delay.AFTER_ERROR)
_BACK_OFF_CRASH = (Tally.COUNT_CRASH, Delay.AFTER_CRASH)
_MEND = (Tally.COUNT_RESTART, Action.CANCEL_TIMER, Action.SPAWN)

TRANSITIONS = (
    # Requests by users and reloads.
    Transition(_AT_REST, (Event.START,), State.STARTING, _FRESH_START),
    Transition((State.STOPPED,), (Event.RESTART,), State.STARTING, _FRESH_START),
    Transition((State.STOPPED,), (Event.DISABLE,), State.DISABLED),
    Transition(_RETRYING, (Event.START, Event.RESTART), State.STARTING, _FRESH_RESTART),
    Transition((State.FAILED,), (Event.ADAPTER_BACK,), State.STARTING, _FRESH_RESTART),
    Transition(_RETRYING, (Event.STOP,), State.STOPPED, _REST),
    Transition(_RETRYING, (Event.DISABLE,), State.DISABLED, _REST),
    Transition(ALIVE, (Event.STOP,), State.STOPPING, _TERMINATE, goal=State.STOPPED),
    Transition(ALIVE, (Event.DISABLE,), State.STOPPING, _TERMINATE, goal=State.DISABLED),
    Transition(ALIVE, (Event.RESTART,), State.STOPPING, _TERMINATE, goal=State.STARTING),
    # The latest request decides the goal of STOPPING.
    Transition(_STOPPING, (Event.START, Event.RESTART), goal=State.STARTING),
    Transition(_STOPPING, (Event.STOP,), goal=State.STOPPED),
    Transition(_STOPPING, (Event.DISABLE,), goal=State.DISABLED),
    # Reports of the worker. An absent adapter is no failure: it has to work at once when it is back.
    # The time until a worker has proved itself begins with its first report.
    Transition(
        (State.STARTING,),
        (Event.WORKER_WAITING,),
        State.WAITING,
        (Tally.FORGET_ERRORS, Delay.STABLE),
    ),
    Transition((State.RUNNING,), (Event.WORKER_WAITING,), State.WAITING, (Tally.FORGET_ERRORS,)),
    Transition((State.STARTING,), (Event.WORKER_RUNNING,), State.RUNNING, (Delay.STABLE,)),
    Transition((State.WAITING,), (Event.WORKER_RUNNING,), State.RUNNING),
    Transition(ALIVE, (Event.HUNG,), State.STOPPING, _TERMINATE, goal=State.BACKOFF),
    # Timers.
    Transition((State.WAITING, State.RUNNING), (Event.TIMER,), steps=(Tally.FORGET_FAILURES, Tally.PROVE)),
    Transition((State.BACKOFF,), (Event.TIMER,), State.STARTING, (Tally.COUNT_RESTART, Action.SPAWN)),
    Transition((State.FAILED,), (Event.TIMER,), State.STARTING, (Action.SPAWN,)),
    Transition(_STOPPING, (Event.TIMER,), steps=(Action.ABORT, Delay.ABORT), guard=_FIRST_TIMER),
    Transition(_STOPPING, (Event.TIMER,), steps=(Action.KILL,), guard=_LATER_TIMER),
    # The worker has ended, or could not be started. If somebody else stopped it in good order, it comes
    # back as after a CAN error.
    Transition(ALIVE, (Event.ENDED, Event.CAN_ERROR), State.BACKOFF, _BACK_OFF_ERROR),
    Transition(ALIVE, (Event.CRASHED,), State.STARTING, _MEND, guard=_PROVED),
    Transition(ALIVE, (Event.CRASHED,), State.BACKOFF, _BACK_OFF_CRASH, guard=_NOT_PROVED),
    Transition(ALIVE, (Event.REFUSED,), State.FAILED, (Action.CANCEL_TIMER,)),
    Transition(ALIVE, _NOT_STARTED, State.FAILED, (Delay.START_AGAIN,)),
    Transition(_STOPPING, ENDINGS, State.STOPPED, _REST, guard=_goal_is(State.STOPPED)),
    Transition(_STOPPING, ENDINGS, State.DISABLED, _REST, guard=_goal_is(State.DISABLED)),
    Transition(_STOPPING, ENDINGS, State.STARTING, _FRESH_RESTART, guard=_goal_is(State.STARTING)),
    Transition(_STOPPING, ENDINGS, State.STARTING, _MEND, guard=_hung(proved=True)),
    Transition(_STOPPING, ENDINGS, State.BACKOFF, _BACK_OFF_CRASH, guard=_hung(proved=False)),
    # Nothing follows: the bus is in that state already,
    Transition((State.DISABLED,), (Event.STOP, Event.DISABLE, Event.RESTART)),
    Transition((State.STOPPED,), (Event.STOP,)),
    Transition(ALIVE, (Event.START,)),
    Transition((State.WAITING,), (Event.WORKER_WAITING,)),
    Transition((State.RUNNING,), (Event.WORKER_RUNNING,)),
    # the event is the last message of a worker that is being stopped, or has no worker to come from,
    Transition(_STOPPING, _REPORTS),
    Transition((*_AT_REST, *_RETRYING), (*_REPORTS, *ENDINGS)),
    # or the timer fired while something else was decided.
    Transition((State.STARTING, *_AT_REST), (Event.TIMER,)),
    Transition((*_AT_REST, *ALIVE, *_STOPPING, State.BACKOFF), (Event.ADAPTER_BACK,)),
)


def _by_state_and_event() -> dict[tuple[State, Event], list[Transition]]:
    found: dict[tuple[State, Event], list[Transition]] = {}
    for transition in TRANSITIONS:
        for state in transition.states:
            for event in transition.events:
                found.setdefault((state, event), []).append(transition)
    return found


_BY_STATE_AND_EVENT = _by_state_and_event()


def decide(
    lifecycle: Lifecycle, event: Event, policy: Policy, chance: float
) -> tuple[Lifecycle, list[Effect]]:
    """Return the lifecycle after `event`, and the effects to carry out in order."""
    for transition in _BY_STATE_AND_EVENT[lifecycle.state, event]:
        if transition.guard is None or transition.guard.holds(lifecycle):
            return _apply(transition, lifecycle, policy, chance)
    raise AssertionError(f"no transition for {event.name} in {lifecycle}")


def _apply(
    transition: Transition, lifecycle: Lifecycle, policy: Policy, chance: float
) -> tuple[Lifecycle, list[Effect]]:
    after = replace(lifecycle, state=transition.to or lifecycle.state, goal=transition.goal or lifecycle.goal)
    effects: list[Effect] = []
    for step in transition.steps:
        match step:
            case Tally():
                after = _count(after, step)
            case Delay():
                effects.append(SetTimer(policy.seconds(step, after, chance)))
            case Action():
                effects.append(step)
                if step in (Action.TERMINATE, Action.ABORT):
                    after = replace(after, aborted=step == Action.ABORT)
                elif step == Action.SPAWN:
                    after = replace(after, proved=False)
    return after, effects


def _count(lifecycle: Lifecycle, tally: Tally) -> Lifecycle:
    match tally:
        case Tally.COUNT_ERROR:
            return replace(lifecycle, errors=lifecycle.errors + 1)
        case Tally.COUNT_CRASH:
            return replace(lifecycle, crashes=lifecycle.crashes + 1)
        case Tally.COUNT_RESTART:
            return replace(lifecycle, restarts=lifecycle.restarts + 1)
        case Tally.FORGET_ERRORS:
            return replace(lifecycle, errors=0)
        case Tally.FORGET_FAILURES:
            return replace(lifecycle, errors=0, crashes=0)
        case Tally.PROVE:
            return replace(lifecycle, proved=True)
