"""The worker's loop: reads the adapter, sends to the clients, reports to the supervisor.

One thread and one selector. On a quiet bus a frame is sent at once. On a busy bus the loop lets frames gather
for `GATHER_S` before it reads again, as network drivers do, so that it wakes at most 1,000 times a second.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.adapters import registry
from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.ipc.exit_statuses import WorkerExit
from cancorderd.ipc.messages import (
    BacklogShare,
    BusReport,
    ClientHandover,
    Counts,
    FeedChange,
    NewListeners,
    Notice,
    WorkerEnd,
)
from cancorderd.protocol.batch import EMPTY_BATCH
from cancorderd.protocol.packets import HEADER
from cancorderd.worker.client_server import ClientServer
from cancorderd.worker.epoll_selector import new_selector
from cancorderd.worker.latency import LatencyCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.adapters.base import ArrivalWatch, Source
    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.ipc.messages import Latency
    from cancorderd.protocol.batch import Batch
    from cancorderd.worker.forward_feed import ForwardFeed
    from cancorderd.worker.recording_feed import RecordingFeed
    from cancorderd.worker.supervisor_channel import SupervisorChannel

GATHER_S = 0.001
GATHER_BELOW = 64
"""Frames per read: if a read returns more, the source's buffer fills faster than gathering would empty it."""
REPORT_EVERY_S = 1.0
AUDIENCE_REPORT_S = 0.05
"""Delay until a client that connects or leaves is reported, and so shown in `status`."""
POSITION_REPORT_S = 0.1
"""Delay until frames that the next worker must not deliver again are reported, together with their counts."""
REOPEN_S = 0.25
"""Interval between attempts to open an absent adapter."""
WATCHED_REOPEN_S = 1.0
"""The same if a watch reports that the adapter may be there; a watch can miss it."""
_LATE_S = 0.5
"""Delay of a report beyond which this process has stood still, and silence is no fault of the adapter."""
_READ_REST_S = 0.5
"""Time to read the frames that have arrived before the end, from an adapter that does not stop sending."""
_CLOSE_S = 3
"""Time to close the adapter after the supervisor has gone."""


class WorkerLoop:
    """Serves a bus until SIGTERM, `stop`, or the bus fails."""

    def __init__(
        self,
        settings: BusSettings,
        supervisor: SupervisorChannel,
        earlier: Counts,
        recorders: socket.socket | None = None,
        feed: socket.socket | None = None,
        *,
        backlog_share: int | None = None,
        earlier_latency: Latency | None = None,
        open_source: Callable[[BusSettings], Source] = registry.open_source,
        open_watch: Callable[[BusSettings], ArrivalWatch | None] = registry.open_watch,
    ) -> None:
        """`earlier` are the counts of the bus's earlier workers, which every report includes.

        `recorders` is the socket on which the bus's recorders report their last counts to the supervisor, `feed` that
        to the forwarder.
        """
        self._settings = settings
        self._supervisor = supervisor
        self._earlier = earlier
        self._recorders = recorders
        self._open_source = open_source
        self._open_watch = open_watch
        self._selector = new_selector()
        self._server = ClientServer(settings, self._selector, self._notice, backlog_share)
        self._source: Source | None = None
        self._watch: ArrivalWatch | None = None
        self._recording: RecordingFeed | None = None
        self._feed_socket = feed
        self._forwarding: ForwardFeed | None = None
        self._fed = earlier.fed
        """Frames for the forwarder, up to the last one who was fed."""
        self._records_errors = settings.recorded and settings.record is not None and settings.record.errors
        self._wakeup_reader, self._wakeup_writer = socket.socketpair()
        self._readable = False
        self._stopping = False
        self._state = "starting"
        self._reason = ""
        self._found: dict[str, str] = {}
        """The adapter that `interface = "auto"` has found, as a detail for `status`."""
        self._received = 0
        self._packet_bytes = 0
        self._now_s = time.monotonic()
        """The clock when it was last read. It is read twice for each wake: after waiting and after sending."""
        self._next_report_s = 0.0
        self._next_open_s = 0.0
        self._next_read_s = 0.0
        self._last_frame_s = 0.0
        self._latest_frame_s: float | None = None
        """Arrival of the latest frame, for reports."""
        self._counted_to_s = 0.0
        """See `BusReport.counted_to_s`."""
        self._latency = LatencyCounter(earlier_latency)
        self._due_s = math.inf
        """When the source has to be read even if nothing becomes readable."""
        self._silence_s = settings.silence_timeout or math.inf

    def run(
        self, listeners: list[socket.socket], clients: list[tuple[ClientHandover, socket.socket, bytes]]
    ) -> WorkerExit:
        """Serve the bus; returns the exit status. By then the source is closed and the clients are handed over."""
        self._wake_on_sigterm()
        self._selector.register(self._supervisor.fileno(), selectors.EVENT_READ, self._on_supervisor)
        while clients:  # each is forgotten here at once, with its unsent bytes
            self._server.adopt(*clients.pop(0))
        self._server.enforce_limits()
        for listener in listeners:
            self._server.listen(listener)
        self._start_recording()
        self._start_forwarding(self._feed_socket)
        try:
            while not self._stopping:
                self._run_once()
            self._read_rest()
            status, reason = WorkerExit.DONE, ""
        except SettingsRefused as error:
            status, reason = WorkerExit.REFUSED, str(error)
        except (BusError, AdapterAbsent) as error:
            status, reason = WorkerExit.CAN_ERROR, str(error)
        finally:
            self._close_source()
            self._close_watch()
            if self._recording:
                self._recording.close()
            if self._forwarding:
                self._forwarding.close()
        self._report()
        for client, sock, unsent in self._server.hand_over():
            self._supervisor.hand_over(client, sock, unsent)
        self._supervisor.end(WorkerEnd(reason))
        self._server.close()
        self._close_wakeup()
        return status

    def stop(self) -> None:
        """Make `run` return in good order after the present events."""
        self._stopping = True

    def release(self) -> None:
        """Close the sockets in a process that a driver has forked. Such a process keeps no client and no port."""
        self._server.release()
        if self._recorders:
            self._recorders.close()
        if self._recording:
            self._recording.release()
        if self._forwarding:
            self._forwarding.release()

    def _start_recording(self) -> None:
        record = self._settings.record
        if record and record.enabled:
            from cancorderd.worker.recording_feed import RecordingFeed  # noqa: PLC0415 - only if the bus is recorded

            self._recording = RecordingFeed(
                self._settings, record, self._selector, self._notice, self._recorders
            )

    def _start_forwarding(self, sock: socket.socket | None) -> None:
        """Feed the forwarder on this socket from now on, in place of an earlier one; None ends forwarding."""
        if self._forwarding:
            self._forwarding.close()
            self._fed, self._forwarding = self._forwarding.fed, None
        if sock:
            from cancorderd.worker.forward_feed import ForwardFeed  # noqa: PLC0415 - only if the bus is forwarded

            self._forwarding = ForwardFeed(
                sock, self._settings.client_backlog, self._selector, self._notice, self._fed
            )

    def _run_once(self) -> None:
        if self._source is None and self._now_s >= self._next_open_s:
            self._open(self._now_s)
        ready = self._selector.select(self._timeout_s(self._now_s))
        self._now_s = self._counted_to_s = now_s = time.monotonic()
        for key, events in ready:
            key.data(events)
        if self._server.audience_changed:
            self._take_audience(now_s)
        if self._source is not None:
            self._serve_source(self._source, now_s)
        if now_s >= self._next_report_s:
            self._server.resume_accepting()
            self._server.resume_reading(now_s)
            if self._recording:
                self._recording.tick(now_s)
            if self._forwarding:
                self._forwarding.tick()
            self._report()

    def _take_audience(self, now_s: float) -> None:
        """Report the number of clients soon, and tell the source."""
        self._server.audience_changed = False
        self._next_report_s = min(self._next_report_s, now_s + AUDIENCE_REPORT_S)
        known, clients = self._server.audience()
        if self._source is not None:
            # The source also learns of a client that replaced another, though the number is the same.
            for count in sorted({known, clients}):
                self._source.audience(count, now_s)

    def _timeout_s(self, now_s: float) -> float:
        """Return how long the loop may wait for events. Called for every wake, so it makes no list."""
        until_s = self._next_report_s
        source = self._source
        if source is None:
            until_s = min(until_s, self._next_open_s)
        else:
            if source.paced:
                source.room = self._room(now_s)
            due = source.due(now_s)
            self._due_s = due_s = math.inf if due is None else now_s + due
            until_s = min(until_s, due_s)
            if self._last_frame_s + self._silence_s < until_s and not source.waiting:
                until_s = self._last_frame_s + self._silence_s
        return until_s - now_s if until_s > now_s else 0.0

    def _room(self, now_s: float) -> int:
        """Return the bytes that the slowest receiver has room for."""
        room = self._server.room(now_s)
        return min(room, self._recording.room) if self._recording else room

    def _open(self, now_s: float) -> None:
        try:
            source = self._open_source(self._settings)
        except AdapterAbsent as error:
            self._schedule_open(now_s)
            self._set_state("waiting", str(error))
            return
        self._close_watch()
        self._source = source
        self._last_frame_s = self._counted_to_s = time.monotonic()
        descriptor = source.fileno()
        if descriptor is not None:
            self._selector.register(descriptor, selectors.EVENT_READ, self._on_source)
        self._server.audience_changed = True
        if found := source.details.get("found"):
            self._found = {"found": found}
            self._notice("info", f"found {found}")
        self._show(source)

    def _show(self, source: Source) -> None:
        """Report whether the bus runs by now, and the sentences of its source for the log."""
        if not source.waiting:
            if self._state != "running":
                self._last_frame_s = time.monotonic()
            self._set_state("running", "")
        elif self._state != "starting" or not source.setting_up:
            self._set_state("waiting", source.waiting)
        self._log_notices(source)

    def _log_notices(self, source: Source) -> None:
        while source.notices:
            self._notice(*source.notices.pop(0))
        while source.narration:
            self._supervisor.notice(Notice(*source.narration.pop(0), event=False))

    def _schedule_open(self, now_s: float) -> None:
        """Schedule the next attempt to open the adapter, and watch for it if its interface has a watch."""
        if self._watch:
            self._next_open_s = now_s + WATCHED_REOPEN_S
            return
        self._next_open_s = now_s + REOPEN_S
        with contextlib.suppress(OSError):
            self._watch = self._open_watch(self._settings)
        if self._watch:
            self._selector.register(self._watch.fileno(), selectors.EVENT_READ, self._on_watch)
            # The adapter may have appeared before the watch was open.
            self._next_open_s = now_s

    def _on_watch(self, _events: int) -> None:
        if self._watch and self._watch.arrived():
            self._next_open_s = 0.0

    def _close_watch(self) -> None:
        if self._watch:
            self._selector.unregister(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def _on_source(self, _events: int) -> None:
        self._readable = True

    def _serve_source(self, source: Source, now_s: float) -> None:
        # A bus that seems silent is read in any case: frames may have arrived while this process stood still.
        if not (self._readable or now_s >= self._due_s or self._is_silent(source, now_s)):
            return
        self._readable = False
        if now_s < self._next_read_s:
            time.sleep(self._next_read_s - now_s)
            self._now_s = now_s = time.monotonic()
        source.internal = self._records_errors or self._server.readers > 0
        try:
            batch = source.read(now_s)
        except AdapterAbsent as error:
            if not source.waiting:
                raise
            self._forget_source(source, str(error), now_s)
            return
        if self._state != "running" or source.waiting or source.notices or source.narration:
            self._show(source)
        frames = batch.frames
        if frames or batch.internal:
            self._deliver(batch, now_s)
            if frames < GATHER_BELOW:
                self._next_read_s = now_s + GATHER_S
        if not frames and self._is_silent(source, now_s):
            self._judge_silence(now_s)

    def _deliver(self, batch: Batch, now_s: float) -> None:
        """Send a batch whose reading began at `now_s`."""
        frames = batch.frames
        if self._source and self._source.resumable:
            self._next_report_s = min(self._next_report_s, now_s + POSITION_REPORT_S)
        if frames:  # remote and error frames are no sign of life: silence must not depend on who reads them
            self._last_frame_s = self._latest_frame_s = now_s
            self._received += frames
            self._packet_bytes += len(batch.packets)
        self._server.broadcast(batch)
        self._now_s = sent_s = time.monotonic()
        self._latency.add(sent_s - now_s)
        if self._recording:
            self._recording.feed(batch)
        if self._forwarding:
            self._forwarding.feed(batch)

    def _is_silent(self, source: Source, now_s: float) -> bool:
        return now_s - self._last_frame_s >= self._silence_s and not source.waiting

    def _judge_silence(self, now_s: float) -> None:
        """Raise BusError, unless this process stood still: then the bus has the whole time anew."""
        if now_s - self._next_report_s <= _LATE_S:
            raise BusError(f"no frame for {self._settings.silence_timeout:g} s (silence_timeout).")
        self._last_frame_s = now_s

    def _read_rest(self) -> None:
        """Deliver the frames that have arrived before the end: the next worker would not see them."""
        if self._source is None:
            return
        self._source.stop()
        deadline_s = time.monotonic() + _READ_REST_S
        with contextlib.suppress(BusError, AdapterAbsent, SettingsRefused):
            while (now_s := time.monotonic()) < deadline_s and (
                batch := self._source.read(now_s)
            ) != EMPTY_BATCH:
                self._deliver(batch, now_s)

    def _forget_source(self, source: Source, reason: str, now_s: float) -> None:
        """Look for an adapter again after one that turned out to be of no use."""
        self._earlier = self._earlier.plus(
            Counts(
                error=source.error_frames,
                remote=source.remote_frames,
                lost_kernel=source.lost_kernel,
                lost_adapter=source.lost_adapter,
            )
        )
        self._close_source()
        self._source = None
        self._found = {}
        self._schedule_open(now_s)
        self._set_state("waiting", reason)

    def _close_source(self) -> None:
        if self._source is not None:
            descriptor = self._source.fileno()
            if descriptor is not None:
                self._selector.unregister(descriptor)
            self._log_notices(self._source)
            self._source.close()

    def _set_state(self, state: str, reason: str) -> None:
        if (state, reason) != (self._state, self._reason):
            self._state, self._reason = state, reason
            self._report()

    def _report(self) -> None:
        self._now_s = now_s = time.monotonic()
        self._next_report_s = now_s + REPORT_EVERY_S
        source = self._source
        sent, sent_bytes = self._server.sent
        recording = self._recording.report(now_s) if self._recording else None
        counts = Counts(
            received=self._received,
            payload_bytes=self._packet_bytes - HEADER.size * self._received,
            error=source.error_frames if source else 0,
            remote=source.remote_frames if source else 0,
            lost_kernel=source.lost_kernel if source else 0,
            lost_adapter=source.lost_adapter if source else 0,
            lost_clients=self._server.frames_lost,
            sent=sent,
            sent_bytes=sent_bytes,
            lost_taps=self._server.frames_lost_by_taps,
            recorded=recording.frames if recording else 0,
            unrecorded=recording.dropped if recording else 0,
            recorded_errors=recording.errors if recording else 0,
            unrecorded_errors=recording.errors_dropped if recording else 0,
            fed=(self._forwarding.fed if self._forwarding else self._fed) - self._earlier.fed,
        )
        self._supervisor.report(
            BusReport(
                self._state,
                self._reason,
                source.controller if source else None,
                self._earlier.plus(counts),
                self._server.reports(),
                source.details | self._found if source else {},
                recording,
                self._server.readers,
                proving=source.proving if source else False,
                last_frame_s=self._latest_frame_s,
                latency=self._latency.total(),
                position=source.position() if source else self._settings.resume,
                counted_to_s=self._counted_to_s,
            )
        )

    def _notice(self, level: str, text: str) -> None:
        self._supervisor.notice(Notice(level, text))

    def _on_supervisor(self, _events: int) -> None:
        messages = self._supervisor.receive()
        if messages is None:
            # A driver that hangs while it is closed must not outlive the supervisor.
            signal.alarm(_CLOSE_S)
            self.stop()
            return
        for message, payload, descriptors in messages:
            match message:
                case ClientHandover():
                    self._add_reader(message, socket.socket(fileno=descriptors[0]), payload)
                case NewListeners():
                    for descriptor in descriptors:
                        self._server.listen(socket.socket(fileno=descriptor))
                case BacklogShare(size):
                    self._server.set_backlog_share(size)
                case FeedChange():
                    self._start_forwarding(socket.socket(fileno=descriptors[0]) if descriptors else None)
        self._supervisor.take_spare()

    def _add_reader(self, reader: ClientHandover, sock: socket.socket, unsent: bytes) -> None:
        if self._supervisor.take_spare():
            self._server.add_reader(reader, sock, unsent)
        else:
            sock.close()
            self._notice("warning", "a reader of the control socket refused: no descriptor is free")

    def _wake_on_sigterm(self) -> None:
        """Let SIGTERM end the loop, even while it waits for events."""
        self._wakeup_reader.setblocking(False)
        self._wakeup_writer.setblocking(False)
        self._selector.register(
            self._wakeup_reader, selectors.EVENT_READ, lambda _events: self._wakeup_reader.recv(64)
        )
        signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.stop())

    def _close_wakeup(self) -> None:
        signal.set_wakeup_fd(-1)
        self._wakeup_reader.close()
        self._wakeup_writer.close()
        self._selector.close()
