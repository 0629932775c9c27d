"""One bus in the supervisor: its state and reason, its port (`bus_listeners`), its worker (`bus_worker`).

The shell around `state_machine`: passes events to it and carries out the effects.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from typing import TYPE_CHECKING

from cancorderd.supervisor.adapter_presence import AdapterLook
from cancorderd.supervisor.bus_listeners import BusListeners
from cancorderd.supervisor.bus_worker import BusWorker
from cancorderd.supervisor.changes import needs_new_worker
from cancorderd.supervisor.child_process import not_started_reason
from cancorderd.supervisor.heartbeat import is_late
from cancorderd.supervisor.listeners import PortUnavailable
from cancorderd.supervisor.moment import Moment
from cancorderd.supervisor.start_queue import StartQueue
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
from cancorderd.supervisor.worker_process import HeldClient, WorkerProcess

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.ipc.messages import BusReport, Counts, Latency
    from cancorderd.supervisor.bus_listeners import PortOwner
    from cancorderd.supervisor.bus_worker import FeedOwner
    from cancorderd.supervisor.heartbeat import Check
    from cancorderd.supervisor.rate import Rate
    from cancorderd.supervisor.state_machine import Effect
    from cancorderd.supervisor.worker_process import NewWorker, Tap

log = logging.getLogger("cancorderd.bus")

_SIGNALS = {Action.TERMINATE: signal.SIGTERM, Action.ABORT: signal.SIGABRT, Action.KILL: signal.SIGKILL}
_LEVELS = {
    State.STARTING: logging.DEBUG,
    State.WAITING: logging.WARNING,
    State.BACKOFF: logging.WARNING,
    State.FAILED: logging.WARNING,
}
"""Log levels of new states; the others are information. The log sums up repeated messages."""
_MOST_POSTPONED = 3
"""How often in a row the time of a worker that has to end starts over, since the supervisor stood still."""
_REPORTED = {"waiting": Event.WORKER_WAITING, "running": Event.WORKER_RUNNING}
"""Events by the state in a worker's report."""


def _recording_state(report: BusReport | None) -> tuple[str, bool]:
    """Return the facts about a recording whose change is worth a new status line."""
    recording = report.recording if report else None
    return (recording.state, bool(recording.reason)) if recording else ("", False)


class Bus:
    """One bus. `changed` is called after every change that the status or the network should show."""

    def __init__(
        self,
        settings: BusSettings,
        ports: PortOwner,
        changed: Callable[[Bus], None],
        *,
        policy: Policy | None = None,
        tap: Tap | None = None,
        new_worker: NewWorker = WorkerProcess,
        starts: StartQueue | None = None,
        feeds: FeedOwner | None = None,
    ) -> None:
        self.settings = settings
        self._changed = changed
        self._policy = policy or Policy()
        self._starts = starts or StartQueue()
        self.lifecycle = Lifecycle(state=State.STOPPED if settings.enabled else State.DISABLED)
        self.reason = ""
        self._since = Moment(time.monotonic(), time.time())
        self.last_error = ""
        self._listeners = BusListeners(self, ports, self.log)
        self._worker = BusWorker(self, new_worker=new_worker, tap=tap, feeds=feeds)
        self._look: AdapterLook | None = None
        """Set while the bus is failed because its adapter refused."""
        self._timer: asyncio.TimerHandle | None = None
        self.turn = asyncio.Lock()
        """Held by the command or reload that changes the bus; the next ones wait in order of arrival."""

    @property
    def counts(self) -> Counts:
        """Counts since the daemon started."""
        return self._worker.counts.since_start

    @property
    def rate(self) -> Rate:
        return self._worker.counts.rate

    @property
    def latency(self) -> Latency | None:
        """Latency of the batches of all workers; None before the first report."""
        return self._worker.counts.latency

    @property
    def last_frame(self) -> float | None:
        """Arrival of the latest data frame, in seconds since the epoch; None if there was none."""
        return self._worker.counts.last_frame

    @property
    def port(self) -> int | None:
        return self._listeners.port

    @property
    def listen_missing(self) -> list[str]:
        """Addresses of `listen` that this machine does not have at present."""
        return self._listeners.missing

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def state(self) -> State:
        return self.lifecycle.state

    @property
    def since(self) -> float:
        """Time of the latest change of state, in seconds since the epoch."""
        return self._since.epoch(time.monotonic(), time.time())

    @property
    def pid(self) -> int | None:
        return self._worker.pid

    @property
    def report(self) -> BusReport | None:
        """The worker's latest report; None without a worker that has reported."""
        return self._worker.report

    @property
    def fed(self) -> bool:
        """Whether the present worker feeds the forwarder."""
        return self._worker.fed

    @property
    def reachable(self) -> bool:
        """True while clients can connect; they may have to wait for the next worker."""
        return bool(self._listeners.sockets)

    @property
    def held_clients(self) -> list[HeldClient]:
        """Return the clients that no worker has reported yet."""
        return self._worker.clients.all

    def handle(self, event: Event, reason: str = "") -> None:
        """Pass an event to the state machine, and carry out the effects."""
        before = self.lifecycle
        self.lifecycle, effects = decide(before, event, self._policy, random.random())  # noqa: S311 - jitter
        if self.state != State.FAILED:
            self._look = None
        elif event == Event.REFUSED:
            self._look = AdapterLook(self._on_adapter_back)
            self._look.look(self.settings)
        if self.state in (State.STOPPED, State.DISABLED):
            self._worker.counts.not_wanted()
        if self.state != before.state or reason != self.reason:
            mended = event != Event.TIMER and self.lifecycle.restarts > before.restarts
            self._set_reason(reason, state_changed=self.state != before.state, mended=mended)
        for effect in effects:
            self._carry_out(effect)
        if self.state == State.DISABLED:
            self._listeners.port = self.settings.port  # as after a start of the daemon
        self._changed(self)

    def moves(self, settings: BusSettings) -> bool:
        """Return whether these settings want another port or other addresses than the bus has."""
        return self._listeners.differ(settings)

    def leave_port(self) -> None:
        """Close the port, for the bus takes another; connected clients stay."""
        self._listeners.close()
        self._listeners.port = None

    def replace_settings(self, settings: BusSettings, *, restart: bool = False) -> None:
        """Put new settings in force; `restart` if a worker that runs has to end although no key of its own differs.

        A change of `enabled` decides whether the bus runs; otherwise it goes on as the latest command left it.
        """
        if self.moves(settings):
            self.leave_port()
        before, self.settings = self.settings, settings
        restart = restart or needs_new_worker(before, settings)
        if self.port is None:
            self._listeners.port = settings.port
        wanted = self.lifecycle.wanted if settings.enabled == before.enabled else settings.enabled
        if not wanted:
            if before.enabled and not settings.enabled:
                self.handle(Event.DISABLE)
            else:
                self._changed(self)
        elif not self.lifecycle.wanted:
            self.handle(Event.START)
        elif restart:
            self.handle(Event.RESTART, "settings changed")
        else:
            self._changed(self)

    def check_heartbeat(self, check: Check) -> None:
        """Treat a worker as hung if it has sent nothing for too long. Called in each round of checks."""
        self._worker.clients.drop_gone()
        if self.state in ALIVE and (fact := self._worker.too_long_silence(check)):
            self.handle(Event.HUNG, f"the worker {fact}")

    def check_adapter(self) -> None:
        """Look whether the adapter of a failed bus has come back. Called every second."""
        if self._look and self.state == State.FAILED:
            self._look.look(self.settings)

    def check_addresses(self) -> None:
        """Follow the addresses of this machine that come and go. Called every two seconds."""
        if not (self.reachable or self.state in ALIVE):
            return
        fresh, changed = self._listeners.follow_addresses()
        self._worker.listen(fresh)
        if changed:
            self._changed(self)

    @property
    def readers(self) -> int:
        """Number of readers of the control socket."""
        return self._worker.readers

    def add_reader(self, sock: socket.socket, unsent: bytes) -> None:
        """Send the bus's frames on a Unix socket, with remote and error frames, behind the bytes `unsent`. Owns the socket.

        The worker sends them itself, so that the supervisor has no part in the stream; between two workers, the reader
        waits as clients do.
        """
        self._worker.add_reader(sock, unsent, alive=self.state in ALIVE)

    def set_backlog_share(self, size: int) -> None:
        """Limit the bytes that the bus's worker keeps for all clients together, without a restart."""
        self._worker.limit_backlogs(size)

    def change_feed(self, *, wanted: bool) -> None:
        """Begin or end forwarding of a bus whose worker runs."""
        self._worker.change_feed(wanted=wanted)

    async def wait_for_worker(self) -> None:
        """Return when no worker runs."""
        if self._worker.process:
            await self._worker.process.wait()
        else:
            await asyncio.sleep(0)  # the end of a start that was withdrawn

    def _set_reason(self, reason: str, *, state_changed: bool, mended: bool) -> None:
        """Note why the bus is in its state; `mended` if it failed and has a new worker already."""
        if state_changed:
            self._since = Moment(time.monotonic(), time.time())
        self.reason = reason
        if reason and (mended or self.state in (State.BACKOFF, State.FAILED)):
            self.last_error = reason
        text = f"{self.state}: {reason}" if reason else self.state.value
        self.log(logging.WARNING if mended else _LEVELS.get(self.state, logging.INFO), text)

    def log(self, level: int, text: str, *, event: bool = True) -> None:
        """Log a line about the bus; `event` is for `event_log`."""
        extra: dict[str, object] = {"bus": self.name, "state": self.state.value}
        log.log(level, "%s", text, extra=extra if event else extra | {"event": False})

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Action.SPAWN:
                self._spawn()
            case Action.CLOSE_PORT:
                self._close_port()
            case Action.TERMINATE | Action.ABORT | Action.KILL:
                if not self._worker.signal(_SIGNALS[effect]) and self._starts.withdraw(self):
                    asyncio.get_running_loop().call_soon(self._on_withdrawn)
            case SetTimer(seconds):
                self._set_timer(seconds)
            case Action.CANCEL_TIMER:
                self._cancel_timer()

    def _set_timer(self, seconds: float, postponed: int = 0) -> None:
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        due_s = loop.time() + seconds
        self._timer = loop.call_later(seconds, self._on_timer, seconds, due_s, postponed)

    def _on_timer(self, seconds: float, due_s: float, postponed: int) -> None:
        late = is_late(due_s, asyncio.get_running_loop().time())
        if late and self.state == State.STOPPING and postponed < _MOST_POSTPONED:
            # The worker may have stood still, too: it has its whole time to end in good order.
            self._set_timer(seconds, postponed + 1)
        else:
            self.handle(Event.TIMER, self.reason)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _spawn(self) -> None:
        """Open the port, and start a worker when its turn comes."""
        if self._starting(self._listeners.open):
            self._starts.request(self, self._spawn_in_turn)

    def _spawn_in_turn(self) -> None:
        if not self._starting(self._start_worker):
            self._starts.started(self)

    def _on_withdrawn(self) -> None:
        """Go on after a stop that came before the worker's turn."""
        if self.state == State.STOPPING and self._worker.process is None:
            self.handle(Event.ENDED, self.reason)

    def _starting(self, step: Callable[[], None]) -> bool:
        """Return whether a step of the start succeeds. A failure is an event like any other: it is tried again."""
        try:
            step()
        except PortUnavailable as error:
            self.handle(Event.PORT_UNAVAILABLE, str(error))
        except Exception as error:
            self._worker.forget()
            if not isinstance(error, OSError | MemoryError):
                log.exception("trace of the failed start", extra={"bus": self.name})
            self.handle(Event.START_FAILED, not_started_reason(error))
        else:
            return True
        return False

    def _start_worker(self) -> None:
        self._listeners.open()  # a reload may have closed it while the start waited for its turn
        self._worker.start(self._listeners.sockets)

    def on_worker_message(self) -> None:
        """Note that the worker sends messages."""
        self._starts.started(self)

    def on_report(self, report: BusReport, before: BusReport | None) -> None:
        """React to a report of the worker; `before` is the one before it."""
        event = _REPORTED.get(report.state)
        changed = (report.state, report.reason) != (self.state, self.reason)
        if event and changed and self.state in ALIVE:
            self.handle(event, report.reason)
        elif _recording_state(before) != _recording_state(report):
            self._changed(self)

    def on_worker_end(self, event: Event, reason: str) -> None:
        """React to the end of the worker."""
        self._starts.started(self)
        if self.state == State.STOPPING:
            self.handle(Event.ENDED, self.reason)
        else:
            self.handle(event, reason)

    def _on_adapter_back(self) -> None:
        if self._look:
            self.handle(Event.ADAPTER_BACK, "the adapter is back")

    def _close_port(self) -> None:
        self._listeners.close()
        self._worker.release_clients()
