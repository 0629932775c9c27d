"""The worker of one bus, if one runs: started with all that the one before left, listened to, and asked for more.

It holds the sockets of the clients while no worker runs. `bus` decides when a worker starts and ends.
"""

from __future__ import annotations

import contextlib
import logging
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
from cancorderd.supervisor.bus_counts import BusCounts
from cancorderd.supervisor.child_process import end_fact
from cancorderd.supervisor.heartbeat import Silence
from cancorderd.supervisor.held_clients import HeldClients, release
from cancorderd.supervisor.state_machine import Event
from cancorderd.supervisor.worker_process import HeldClient

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.heartbeat import Check
    from cancorderd.supervisor.worker_process import NewWorker, Tap, Worker


class FeedOwner(Protocol):
    """Source of the sockets to the forwarder."""

    def open_feed(self, bus: Bus) -> socket.socket | None:
        """Return the socket for a worker of this bus, or None if the bus is not forwarded."""

    def fed(self, name: str) -> int:
        """Return how many frames buses of this name have had for the forwarder."""


class BusWorker:
    """At most one worker at a time. It reports to the bus by `Bus.on_worker_message`, `on_report` and `on_worker_end`."""

    def __init__(self, bus: Bus, *, new_worker: NewWorker, tap: Tap | None, feeds: FeedOwner | None) -> None:
        self._bus = bus
        self._new_worker = new_worker
        self._tap = tap
        self._feeds = feeds
        self.process: Worker | None = None
        self.report: BusReport | None = None
        """The worker's latest report; None without a worker that has reported."""
        self.fed = False
        """Whether the present worker feeds the forwarder."""
        self.counts = BusCounts(
            lambda text: bus.log(logging.WARNING, text), feeds.fed(bus.name) if feeds else 0
        )
        self.clients = HeldClients(
            lambda address: bus.log(logging.INFO, f"client {address} left while the bus was interrupted")
        )
        self._backlog_share: int | None = None
        self._new_readers = 0
        """Readers of the control socket that the worker got since its latest report."""
        self._silence = Silence.from_start(time.monotonic())
        """Time without a message from the worker."""
        self._end: WorkerEnd | None = None
        """The worker's last message; None if it has not ended in order."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    @property
    def readers(self) -> int:
        """Number of readers of the control socket."""
        held = sum(client.handover.internal for client in self.clients.all)
        return held + self._new_readers + (self.report.readers if self.report else 0)

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Start a worker. Call `forget` if this raises."""
        self._end = None
        lent = self.clients.lend(self._tap)
        self._silence = Silence.from_start(time.monotonic())
        self.process = self._new_worker(self._on_message, self._on_exit)
        settings = self._bus.settings
        recorders = self.counts.worker_starts(recorded=settings.recorded)
        if self.counts.position:  # it goes on where the last one has ended
            settings = replace(settings, resume=self.counts.position)
        with contextlib.ExitStack() as copied:
            further = [copied.enter_context(recorders)] if recorders else []
            feed = self._feeds.open_feed(self._bus) if self._feeds else None
            if feed:
                further.append(copied.enter_context(feed))
            self.fed = feed is not None
            first_message = WorkerStart(
                settings_json.to_json(settings),
                self.counts.reported,
                len(lent),
                self._backlog_share,
                self.counts.latency,
                self.fed,
            )
            self.process.start(self._bus.name, first_message, [*listeners, *further], lent)

    def forget(self) -> None:
        """Forget a worker that could not be started."""
        self.process = None
        self.clients.take_back()

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        """Let a worker that runs accept clients on further sockets, too."""
        if self.process and listeners:
            self.process.listen(listeners)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; returns False without a worker."""
        if self.process is None:
            return False
        self.process.signal(number)
        return True

    def add_reader(self, sock: socket.socket, unsent: bytes, *, alive: bool) -> None:
        """Serve a further reader of frames; if the worker is not `alive`, the next one does."""
        handover = ClientHandover("", time.monotonic(), 0, 0, 0, tap=True, internal=True)
        reader = HeldClient(handover, sock, unsent)
        if self.process and alive:
            self.process.add_reader(reader)
            self._new_readers += 1
        else:
            self.clients.add(reader)

    def limit_backlogs(self, size: int) -> None:
        """Limit the bytes for all clients together, of this worker and the next ones."""
        if size != self._backlog_share:
            self._backlog_share = size
            if self.process:
                self.process.limit_backlogs(size)

    def change_feed(self, *, wanted: bool) -> None:
        """Begin or end forwarding, if a worker runs."""
        if self.process is None or self._feeds is None or wanted == self.fed:
            return
        feed = self._feeds.open_feed(self._bus) if wanted else None
        self.fed = feed is not None
        self.process.change_feed(feed)

    def too_long_silence(self, check: Check) -> str:
        """Return the end of a sentence about a worker that hangs, or nothing. Called in each round of checks."""
        if self.process is None:
            return ""
        watchdog_s = self._bus.settings.watchdog
        silence = self._silence.checked(check, self.process.last_message_s)
        if check.late or silence.hung(check.now_s, watchdog_s):
            # After a standstill, this check may come before the messages that have arrived in the meantime.
            self.process.read()
            silence = self._silence.checked(check, self.process.last_message_s)
        self._silence = silence
        return silence.fact(check.now_s) if silence.hung(check.now_s, watchdog_s) else ""

    def release_clients(self) -> None:
        """Disconnect the clients that no worker has; the printer gets the rest of its stream."""
        clients = self.clients.take()
        if self._tap:
            for rest in [held.unsent for held in clients if held.handover.printer]:
                self._tap.append_rest(rest)
        release(clients)

    def _on_message(self, received: ReceivedMessage) -> None:
        self._bus.on_worker_message()
        match printable_message(received.message):
            case BusReport() as report:
                self.clients.close_lent()
                before, self.report = self.report, report
                self._new_readers = 0
                self.counts.take_report(report)
                if self._tap:
                    self._tap.report(report)
                self._bus.on_report(report, before)
            case ClientHandover() as handover:
                self.clients.close_lent()
                sock = socket.socket(fileno=received.descriptors[0])
                self.clients.add(HeldClient(handover, sock, received.payload))
            case Notice(level, text, event):
                self._bus.log(logging.getLevelNamesMapping()[level.upper()], text, event=event)
            case WorkerEnd() as end:
                self._end = end

    def _on_exit(self, status: int) -> None:
        last_report, self.report = self.report, None
        self.process = None
        self._new_readers = 0
        self.counts.worker_ended(last_report, in_order=self._end is not None)
        self.clients.take_back()
        self._bus.on_worker_end(*self._ending(status))

    def _ending(self, status: int) -> tuple[Event, str]:
        """Return the event that a worker's exit status stands for, and its reason."""
        reason = self._end.reason if self._end else ""
        match status:
            case WorkerExit.CAN_ERROR:
                return Event.CAN_ERROR, reason
            case WorkerExit.REFUSED:
                return Event.REFUSED, reason
            case WorkerExit.DONE:
                return Event.ENDED, f"the worker {end_fact(status)}"
            case _:
                return Event.CRASHED, f"the worker {end_fact(status)}"
