"""One bus, as the supervisor keeps it: its life, its port, its worker, its clients in between.

The shell around `machine`: events go in, actions are done. Owns the listening sockets always, the
clients' sockets while no worker runs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.errors import WorkerExit
from cancorderd.report import Client, Counts, Ended, Notice, Report, Settings
from cancorderd.supervisor import ports
from cancorderd.supervisor.machine import Action, Event, Life, Phase, Policy, SetTimer, step
from cancorderd.supervisor.process import HeldClient, WorkerProcess
from cancorderd.supervisor.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.model import BusBase
    from cancorderd.link import Received
    from cancorderd.supervisor.machine import Step
    from cancorderd.supervisor.process import Ear

log = logging.getLogger("cancorderd.bus")

_SIGNALS = {Action.TERMINATE: signal.SIGTERM, Action.ABORT: signal.SIGABRT, Action.KILL: signal.SIGKILL}
_LOUDNESS = {
    Phase.STARTING: logging.DEBUG,
    Phase.WAITING: logging.WARNING,
    Phase.BACKOFF: logging.WARNING,
    Phase.FAILED: logging.WARNING,
}
"""How loud a change is told, where it is not plain information. What repeats itself, the log sums up."""
_ALIVE = (Phase.STARTING, Phase.WAITING, Phase.RUNNING)


class Bus:
    """`changed` is called after every change that status or the network should show."""

    def __init__(
        self,
        section: BusBase,
        choose_port: Callable[[Bus], tuple[int, list[socket.socket]]],
        changed: Callable[[Bus], None],
        release: Callable[[str, list[socket.socket]], None],
        *,
        policy: Policy | None = None,
        ear: Ear | None = None,
    ) -> None:
        self.section = section
        self._choose_port = choose_port
        self._changed = changed
        self._release = release
        self._policy = policy or Policy()
        self._ear = ear
        self.life = Life(phase=Phase.STOPPED if section.enabled else Phase.DISABLED)
        self.since = time.time()
        self.reason = ""
        self.last_error = ""
        self.port: int | None = section.port
        self.report: Report | None = None
        self.counts = Counts()
        self.rate = Rate()
        self.held: list[HeldClient] = []
        self._lent: list[HeldClient] = []
        self._listeners: list[socket.socket] = []
        self._worker: WorkerProcess | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended_reason = ""

    @property
    def name(self) -> str:
        return self.section.name

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    @property
    def reachable(self) -> bool:
        """True while clients can connect, be it to wait for the next worker."""
        return bool(self._listeners)

    def handle(self, event: Event, reason: str = "") -> None:
        """Let `machine` decide what follows, and do it."""
        before = self.life
        self.life, steps = step(self.life, event, self._policy, random.random())  # noqa: S311 - jitter
        if self.life.phase != before.phase or reason != self.reason:
            self._note(before.phase, reason)
        for one in steps:
            self._do(one)
        self._changed(self)

    def replace_section(self, section: BusBase, *, restart: bool) -> None:
        """Put new settings in force; `restart` where the worker has to learn of them."""
        moved = (section.port or self.port, section.listen) != (self.port, self.section.listen)
        self.section = section
        if moved:
            self._close_port()
            self.port = section.port
        if not section.enabled:
            self.handle(Event.DISABLE)
        elif self.life.phase == Phase.DISABLED:
            self.handle(Event.START)
        elif restart and self.life.phase != Phase.STOPPED:
            self.handle(Event.RESTART, "settings changed")
        else:
            self._changed(self)

    def check_heartbeat(self, now_s: float) -> None:
        """Called about once a second by the manager's loop."""
        if self._worker and self.life.phase in _ALIVE:
            silent_s = now_s - self._worker.heard_s
            if silent_s > self.section.watchdog:
                self.handle(Event.HUNG, f"the worker gave no sign of life for {silent_s:.0f} s")

    async def ended(self) -> None:
        """Wait until no worker runs."""
        if self._worker:
            await self._worker.ended()

    def _note(self, before: Phase, reason: str) -> None:
        now = self.life.phase
        if now != before:
            self.since = time.time()
        self.reason = reason
        failing = now in (Phase.BACKOFF, Phase.FAILED)
        if failing and reason:
            self.last_error = reason
        text = f"{now}: {reason}" if reason else now.value
        log.log(_LOUDNESS.get(now, logging.INFO), "%s", text, extra={"bus": self.name, "state": now.value})

    def _do(self, action: Step) -> None:
        match action:
            case Action.SPAWN:
                self._spawn()
            case Action.CLOSE_PORT:
                self._close_port()
            case Action.TERMINATE | Action.ABORT | Action.KILL:
                if self._worker:
                    self._worker.signal(_SIGNALS[action])
            case SetTimer(seconds):
                self._cancel_timer()
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(seconds, self.handle, Event.TIMER, self.reason)
            case _:
                self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _spawn(self) -> None:
        if not self._listeners:
            try:
                self.port, self._listeners = self._choose_port(self)
            except ports.PortTaken as error:
                self.handle(Event.PORT_TAKEN, str(error))
                return
        self._ended_reason = ""
        worker = WorkerProcess(self._on_message, self._on_exit)
        self._worker = worker
        if self._ear and not any(one.client.tap for one in self.held):
            tap = Client("", time.time(), 0, 0, 0, tap=True)
            self.held.append(HeldClient(tap, self._ear.open(), b""))
        # Kept until the worker shows that it has them: one that dies before that loses none.
        self._lent, self.held = self.held, []
        settings = Settings(self.section.model_dump_json(), self.counts, len(self._lent))
        worker.start(self.name, settings, self._listeners, self._lent)

    def _close_lent(self) -> None:
        for one in self._lent:
            one.close()
        self._lent = []

    @property
    def clients_between(self) -> list[HeldClient]:
        """The clients that no worker has reported yet."""
        return self._lent + self.held

    def _on_message(self, received: Received) -> None:
        match received.message:
            case Report() as report:
                self._close_lent()
                self.report = report
                self.counts = report.counts
                self.rate.take(report.counts, time.monotonic())
                told = {"waiting": Event.TOLD_WAITING, "running": Event.TOLD_RUNNING}.get(report.phase)
                if told and (report.phase, report.reason) != (self.life.phase, self.reason):
                    self._take_phase(told, report)
            case Client() as client:
                self._close_lent()
                sock = socket.socket(fileno=received.descriptors[0])
                self.held.append(HeldClient(client, sock, received.payload))
            case Notice(level, text):
                number = logging.getLevelNamesMapping()[level.upper()]
                log.log(number, "%s", text, extra={"bus": self.name, "state": self.life.phase.value})
            case Ended(reason):
                self._ended_reason = reason

    def _take_phase(self, told: Event, report: Report) -> None:
        if self.life.phase in _ALIVE:
            self.handle(told, report.reason)

    def _on_exit(self, status: int) -> None:
        self._worker = None
        self.report = None
        self.held, self._lent = self.clients_between, []
        self.rate = Rate()
        if self.life.phase == Phase.STOPPING:
            self.handle(Event.ENDED, self.reason)
            return
        match status:
            case WorkerExit.CAN_ERROR:
                self.handle(Event.CAN_ERROR, self._ended_reason)
            case WorkerExit.REFUSED:
                self.handle(Event.REFUSED, self._ended_reason)
            case WorkerExit.DONE:
                self.handle(Event.ENDED, "the worker was ended from outside")
            case _ if status < 0:
                self.handle(
                    Event.CRASHED, f"the worker was ended by signal {-status} ({signal.strsignal(-status)})"
                )
            case _:
                self.handle(Event.CRASHED, f"the worker ended with status {status}; its trace is in the log")

    def _close_port(self) -> None:
        listeners, self._listeners = self._listeners, []
        self._release(self.name, listeners)
        for one in self.clients_between:
            if self._ear and one.client.tap:
                self._ear.take(one.owed)
            one.close()
        self.held, self._lent = [], []
