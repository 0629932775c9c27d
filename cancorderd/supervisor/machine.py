"""When a bus's worker is started, stopped, restarted or given up on.

Pure. `step` says what follows an event; `bus` spawns, signals and sets timers. Durations are seconds on
the monotonic clock. Chance comes in as an argument, so that a test can walk the table.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Phase(enum.StrEnum):
    """A bus's state, by the names that `status` shows."""

    DISABLED = "disabled"
    STARTING = "starting"
    WAITING = "waiting"
    """The worker runs; its adapter is absent."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """No worker; the next one starts after a delay."""
    FAILED = "failed"
    """No worker, and none will help before something is changed."""
    STOPPING = "stopping"
    STOPPED = "stopped"


class Event(enum.Enum):
    START = "asked to start"
    STOP = "asked to stop"
    DISABLE = "disabled or removed by a reload"
    RESTART = "asked to restart, or its settings changed"
    TOLD_WAITING = "the worker says that its adapter is absent"
    TOLD_RUNNING = "the worker says that frames can come"
    HUNG = "no heartbeat for longer than watchdog allows"
    TIMER = "the timer fired"
    ENDED = "the worker stopped in good order"
    CAN_ERROR = "the worker ended because the bus failed"
    REFUSED = "the worker ended because its settings cannot work"
    CRASHED = "the worker ended in any other way"
    PORT_TAKEN = "the port could not be bound"


class Action(enum.Enum):
    SPAWN = "open the port if need be, and start a worker"
    TERMINATE = "SIGTERM"
    ABORT = "SIGABRT: leaves a trace of where it hung"
    KILL = "SIGKILL"
    CLOSE_PORT = "disconnect the clients, close the port, withdraw the record"


@dataclass(frozen=True)
class SetTimer:
    """Replace the bus's only timer."""

    seconds: float


class CancelTimer:
    """Drop the bus's only timer."""

    def __repr__(self) -> str:
        return "CancelTimer"


CANCEL_TIMER = CancelTimer()
Step = Action | SetTimer | CancelTimer


@dataclass(frozen=True)
class Policy:
    """Delays, in seconds. The first and the longest of each class double in between."""

    first_error_s: float = 0.25
    longest_error_s: float = 10.0
    first_crash_s: float = 1.0
    longest_crash_s: float = 60.0
    jitter: float = 0.2
    """Delays vary by this share, so that many buses do not come back in step."""
    stable_s: float = 30.0
    terminate_s: float = 1.5
    """From SIGTERM to SIGABRT: releasing a device takes a moment."""
    abort_s: float = 0.5
    port_again_s: float = 2.0

    def delay_s(self, failures: int, *, crash: bool, chance: float) -> float:
        """How long to wait after the `failures`th failure in a row; `chance` is from 0 to 1."""
        first = self.first_crash_s if crash else self.first_error_s
        longest = self.longest_crash_s if crash else self.longest_error_s
        plain = min(longest, first * float(1 << min(failures - 1, 30)))
        return plain * (1 - self.jitter + 2 * self.jitter * chance)


@dataclass(frozen=True)
class Life:
    """One bus: its phase, and what is remembered for the next decision."""

    phase: Phase = Phase.STOPPED
    errors: int = 0
    """CAN errors in a row."""
    crashes: int = 0
    """Crashes in a row."""
    then: Phase = Phase.STOPPED
    """Where STOPPING leads."""
    signals: int = 0
    """Signals sent since STOPPING began."""
    restarts: int = 0
    """Workers started in place of one that failed, ever."""


def step(life: Life, event: Event, policy: Policy, chance: float) -> tuple[Life, list[Step]]:
    """Decide what follows `event`. Nothing to do is written out as an empty list."""
    match event:
        case Event.START | Event.STOP | Event.DISABLE | Event.RESTART:
            return _asked(life, event, policy)
        case Event.TOLD_WAITING | Event.TOLD_RUNNING | Event.HUNG:
            return _told(life, event, policy)
        case Event.TIMER:
            return _timer(life, policy)
        case _:
            return _ended(life, event, policy, chance)


def _asked(life: Life, event: Event, policy: Policy) -> tuple[Life, list[Step]]:
    """Somebody wants the bus to start, stop, be disabled or restart."""
    fresh = replace(life, phase=Phase.STARTING, errors=0, crashes=0)
    goal = {Event.STOP: Phase.STOPPED, Event.DISABLE: Phase.DISABLED}.get(event, Phase.STARTING)
    match life.phase, event:
        case Phase.STOPPING, _:
            return replace(life, then=goal), []
        case Phase.DISABLED, Event.STOP | Event.RESTART:
            return life, []
        case ((Phase.DISABLED | Phase.STOPPED), Event.START | Event.RESTART):
            return fresh, [Action.SPAWN]
        case ((Phase.DISABLED | Phase.STOPPED), _):
            return replace(life, phase=goal), []
        case ((Phase.BACKOFF | Phase.FAILED), Event.START | Event.RESTART):
            return fresh, [CANCEL_TIMER, Action.SPAWN]
        case ((Phase.BACKOFF | Phase.FAILED), _):
            return replace(life, phase=goal), [CANCEL_TIMER, Action.CLOSE_PORT]
        case _, Event.START:
            return life, []
        case _:
            return _stopping(life, goal, policy)


def _stopping(life: Life, goal: Phase, policy: Policy) -> tuple[Life, list[Step]]:
    return (
        replace(life, phase=Phase.STOPPING, then=goal, signals=1),
        [Action.TERMINATE, SetTimer(policy.terminate_s)],
    )


def _told(life: Life, event: Event, policy: Policy) -> tuple[Life, list[Step]]:
    """The worker says something, or too long nothing."""
    match life.phase, event:
        case ((Phase.STARTING | Phase.RUNNING), Event.TOLD_WAITING):
            # An absent adapter is no fault to be punished: it has to work at once when it is back.
            return replace(life, phase=Phase.WAITING, errors=0), [CANCEL_TIMER]
        case ((Phase.STARTING | Phase.WAITING), Event.TOLD_RUNNING):
            return replace(life, phase=Phase.RUNNING), [SetTimer(policy.stable_s)]
        case ((Phase.STARTING | Phase.WAITING | Phase.RUNNING), Event.HUNG):
            return _stopping(life, Phase.BACKOFF, policy)
        case _:  # the same again, or the last words of a worker that is on its way out
            return life, []


def _timer(life: Life, policy: Policy) -> tuple[Life, list[Step]]:
    match life.phase:
        case Phase.RUNNING:
            return replace(life, errors=0, crashes=0), []
        case Phase.BACKOFF:
            return replace(life, phase=Phase.STARTING, restarts=life.restarts + 1), [Action.SPAWN]
        case Phase.FAILED:
            return replace(life, phase=Phase.STARTING), [Action.SPAWN]
        case Phase.STOPPING if life.signals == 1:
            return replace(life, signals=2), [Action.ABORT, SetTimer(policy.abort_s)]
        case Phase.STOPPING:
            return replace(life, signals=3), [Action.KILL]
        case _:  # fired while something else was decided
            return life, []


def _ended(life: Life, event: Event, policy: Policy, chance: float) -> tuple[Life, list[Step]]:
    """The worker is gone, or never came to be."""
    match life.phase, event:
        case Phase.STOPPING, _ if life.then == Phase.BACKOFF:
            return _backoff(life, policy, chance, crash=True)
        case Phase.STOPPING, _ if life.then == Phase.STARTING:
            return replace(life, phase=Phase.STARTING, errors=0, crashes=0), [CANCEL_TIMER, Action.SPAWN]
        case Phase.STOPPING, _:
            return replace(life, phase=life.then), [CANCEL_TIMER, Action.CLOSE_PORT]
        case ((Phase.STARTING | Phase.WAITING | Phase.RUNNING), Event.PORT_TAKEN):
            return replace(life, phase=Phase.FAILED), [SetTimer(policy.port_again_s)]
        case ((Phase.STARTING | Phase.WAITING | Phase.RUNNING), Event.REFUSED):
            return replace(life, phase=Phase.FAILED), [CANCEL_TIMER]
        case ((Phase.STARTING | Phase.WAITING | Phase.RUNNING), Event.CRASHED):
            return _backoff(life, policy, chance, crash=True)
        case ((Phase.STARTING | Phase.WAITING | Phase.RUNNING), _):
            # A worker that somebody else ended in good order comes back like one with a CAN error.
            return _backoff(life, policy, chance, crash=False)
        case _:  # no worker belongs to this phase
            return life, []


def _backoff(life: Life, policy: Policy, chance: float, *, crash: bool) -> tuple[Life, list[Step]]:
    errors, crashes = (life.errors, life.crashes + 1) if crash else (life.errors + 1, life.crashes)
    delay_s = policy.delay_s(crashes if crash else errors, crash=crash, chance=chance)
    return replace(life, phase=Phase.BACKOFF, errors=errors, crashes=crashes), [SetTimer(delay_s)]
