"""One bus in the supervisor: its state and reason, its port, its worker, its clients between two workers.

The shell around `state_machine`: passes events to it and carries out the effects. Always owns the listening
sockets, and the clients' sockets while no worker runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from cancorderd.config import settings_json
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import (
    BusReport,
    ClientHandover,
    Notice,
    WorkerEnd,
    WorkerStart,
    printable_message,
)
from cancorderd.supervisor.adapter_presence import AdapterLook
from cancorderd.supervisor.bus_counts import BusCounts
from cancorderd.supervisor.bus_listeners import BusListeners
from cancorderd.supervisor.changes import needs_new_worker
from cancorderd.supervisor.child_process import end_fact, not_started_reason
from cancorderd.supervisor.heartbeat import Silence, is_late
from cancorderd.supervisor.held_clients import HeldClients, release
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
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import Counts, Latency
    from cancorderd.supervisor.bus_listeners import PortOwner
    from cancorderd.supervisor.heartbeat import Check
    from cancorderd.supervisor.rate import Rate
    from cancorderd.supervisor.state_machine import Effect
    from cancorderd.supervisor.worker_process import NewWorker, Tap, Worker

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


class FeedOwner(Protocol):
    """Source of the sockets to the forwarder."""

    def open_feed(self, bus: Bus) -> socket.socket | None:
        """Return the socket for a worker of this bus, or None if the bus is not forwarded."""


class Bus:
    """One bus. `changed` is called after every change that the status or the network should show."""

    fed = False
    """Whether the present worker feeds the forwarder."""

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
        self._tap = tap
        self._backlog_share: int | None = None
        self._new_worker = new_worker
        self._starts = starts or StartQueue()
        self._feeds = feeds
        self.lifecycle = Lifecycle(state=State.STOPPED if settings.enabled else State.DISABLED)
        self.reason = ""
        self._since = Moment(time.monotonic(), time.time())
        self.last_error = ""
        self.report: BusReport | None = None
        """The worker's latest report; None without a worker that has reported."""
        self._counts = BusCounts(lambda text: self._log(logging.WARNING, text))
        self._listeners = BusListeners(self, ports, self._log)
        self._clients = HeldClients(self._on_client_left)
        self._new_readers = 0
        """Readers of the control socket that the worker got since its latest report."""
        self._worker: Worker | None = None
        self._silence = Silence.from_start(time.monotonic())
        """Time without a message from the worker."""
        self._look: AdapterLook | None = None
        """Set while the bus is failed because its adapter refused."""
        self._timer: asyncio.TimerHandle | None = None
        self._end: WorkerEnd | None = None
        """The worker's last message; None if it has not ended in order."""
        self.turn = asyncio.Lock()
        """Held by the command or reload that changes the bus; the next ones wait in order of arrival."""

    @property
    def counts(self) -> Counts:
        """Counts since the daemon started."""
        return self._counts.since_start

    @property
    def rate(self) -> Rate:
        return self._counts.rate

    @property
    def latency(self) -> Latency | None:
        """Latency of the batches of all workers; None before the first report."""
        return self._counts.latency

    @property
    def last_frame(self) -> float | None:
        """Arrival of the latest data frame, in seconds since the epoch; None if there was none."""
        return self._counts.last_frame

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
        return self._worker.pid if self._worker else None

    @property
    def reachable(self) -> bool:
        """True while clients can connect; they may have to wait for the next worker."""
        return bool(self._listeners.sockets)

    @property
    def held_clients(self) -> list[HeldClient]:
        """Return the clients that no worker has reported yet."""
        return self._clients.all

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
            self._counts.not_wanted()
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
        self._clients.drop_gone()
        worker = self._worker
        if worker is None or self.state not in ALIVE:
            return
        silence = self._silence.checked(check, worker.last_message_s)
        if check.late or silence.hung(check.now_s, self.settings.watchdog):
            # After a standstill, this check may come before the messages that have arrived in the meantime.
            worker.read()
            silence = self._silence.checked(check, worker.last_message_s)
        self._silence = silence
        if silence.hung(check.now_s, self.settings.watchdog):
            self.handle(Event.HUNG, f"the worker {silence.fact(check.now_s)}")

    def check_adapter(self) -> None:
        """Look whether the adapter of a failed bus has come back. Called every second."""
        if self._look and self.state == State.FAILED:
            self._look.look(self.settings)

    def check_addresses(self) -> None:
        """Follow the addresses of this machine that come and go. Called every two seconds."""
        if not (self.reachable or self.state in ALIVE):
            return
        fresh, changed = self._listeners.follow_addresses()
        if fresh and self._worker:
            self._worker.listen(fresh)
        if changed:
            self._changed(self)

    @property
    def readers(self) -> int:
        """Number of readers of the control socket."""
        held = sum(client.handover.internal for client in self.held_clients)
        return held + self._new_readers + (self.report.readers if self.report else 0)

    def add_reader(self, sock: socket.socket, unsent: bytes) -> None:
        """Send the bus's frames on a Unix socket, with remote and error frames, behind the bytes `unsent`. Owns the socket.

        The worker sends them itself, so that the supervisor has no part in the stream; between two workers, the reader
        waits as clients do.
        """
        handover = ClientHandover("", time.monotonic(), 0, 0, 0, tap=True, internal=True)
        reader = HeldClient(handover, sock, unsent)
        if self._worker and self.state in ALIVE:
            self._worker.add_reader(reader)
            self._new_readers += 1
        else:
            self._clients.add(reader)

    def set_backlog_share(self, size: int) -> None:
        """Limit the bytes that the bus's worker keeps for all clients together, without a restart."""
        if size != self._backlog_share:
            self._backlog_share = size
            if self._worker:
                self._worker.limit_backlogs(size)

    def change_feed(self, *, wanted: bool) -> None:
        """Begin or end forwarding of a bus whose worker runs."""
        if self._worker is None or self._feeds is None or wanted == self.fed:
            return
        feed = self._feeds.open_feed(self) if wanted else None
        self.fed = feed is not None
        self._worker.change_feed(feed)

    async def wait_for_worker(self) -> None:
        """Return when no worker runs."""
        if self._worker:
            await self._worker.wait()
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
        self._log(logging.WARNING if mended else _LEVELS.get(self.state, logging.INFO), text)

    def _log(self, level: int, text: str, *, event: bool = True) -> None:
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
                if self._worker:
                    self._worker.signal(_SIGNALS[effect])
                elif self._starts.withdraw(self):
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
        if self.state == State.STOPPING and self._worker is None:
            self.handle(Event.ENDED, self.reason)

    def _starting(self, step: Callable[[], None]) -> bool:
        """Return whether a step of the start succeeds. A failure is an event like any other: it is tried again."""
        try:
            step()
        except PortUnavailable as error:
            self.handle(Event.PORT_UNAVAILABLE, str(error))
        except Exception as error:
            self._worker = None
            self._clients.take_back()
            if not isinstance(error, OSError | MemoryError):
                log.exception("trace of the failed start", extra={"bus": self.name})
            self.handle(Event.START_FAILED, not_started_reason(error))
        else:
            return True
        return False

    def _start_worker(self) -> None:
        self._listeners.open()  # a reload may have closed it while the start waited for its turn
        self._end = None
        lent = self._clients.lend(self._tap)
        self._silence = Silence.from_start(time.monotonic())
        self._worker = self._new_worker(self._on_message, self._on_exit)
        recorders = self._counts.worker_starts(recorded=self.settings.recorded)
        with contextlib.ExitStack() as copied:
            further = [copied.enter_context(recorders)] if recorders else []
            feed = self._feeds.open_feed(self) if self._feeds else None
            if feed:
                further.append(copied.enter_context(feed))
            self.fed = feed is not None
            first_message = WorkerStart(
                settings_json.to_json(self._settings_to_go_on()),
                self._counts.reported,
                len(lent),
                self._backlog_share,
                self._counts.latency,
                self.fed,
            )
            self._worker.start(self.name, first_message, [*self._listeners.sockets, *further], lent)

    def _settings_to_go_on(self) -> BusSettings:
        """Return the settings of the next worker, which goes on where the last has ended, if the bus can do so."""
        position = self._counts.position
        return replace(self.settings, resume=position) if position else self.settings

    def _on_message(self, received: ReceivedMessage) -> None:
        self._starts.started(self)
        match printable_message(received.message):
            case BusReport() as report:
                self._clients.close_lent()
                self._store_report(report)
            case ClientHandover() as handover:
                self._clients.close_lent()
                sock = socket.socket(fileno=received.descriptors[0])
                self._clients.add(HeldClient(handover, sock, received.payload))
            case Notice(level, text, event):
                self._log(logging.getLevelNamesMapping()[level.upper()], text, event=event)
            case WorkerEnd() as end:
                self._end = end

    def _store_report(self, report: BusReport) -> None:
        before, self.report = self.report, report
        self._new_readers = 0
        self._counts.take_report(report)
        if self._tap:
            self._tap.report(report)
        event = _REPORTED.get(report.state)
        changed = (report.state, report.reason) != (self.state, self.reason)
        if event and changed and self.state in ALIVE:
            self.handle(event, report.reason)
        elif _recording_state(before) != _recording_state(report):
            self._changed(self)

    def _on_exit(self, status: int) -> None:
        self._starts.started(self)
        last_report, self.report = self.report, None
        self._worker = None
        self._new_readers = 0
        self._counts.worker_ended(last_report, in_order=self._end is not None)
        self._clients.take_back()
        if self.state == State.STOPPING:
            self.handle(Event.ENDED, self.reason)
        else:
            self.handle(*self._ending(status))

    def _ending(self, status: int) -> tuple[Event, str]:
        """Return the event that a worker's exit status stands for, and its reason."""
        reason = self._end.reason if self._end else ""
        match status:
            case WorkerExit.CAN_ERROR:
                return Event.CAN_ERROR, reason
            case WorkerExit.REFUSED:
                return Event.REFUSED, reason
            case WorkerExit.DONE:
                return Event.ENDED, "the worker was stopped by another program"
            case _:
                return Event.CRASHED, f"the worker {end_fact(status)}"

    def _on_client_left(self, address: str) -> None:
        self._log(logging.INFO, f"client {address} left while the bus was interrupted")

    def _on_adapter_back(self) -> None:
        if self._look:
            self.handle(Event.ADAPTER_BACK, "the adapter is back")

    def _close_port(self) -> None:
        self._listeners.close()
        clients = self._clients.take()
        if self._tap:
            for rest in [held.unsent for held in clients if held.handover.printer]:
                self._tap.append_rest(rest)
        release(clients)
