"""The worker's loop: read the adapter, send to the clients, report on the link.

One thread and one selector. On a quiet bus a frame goes out at once; on a busy one the loop lets frames
gather for `GATHER_S` before it reads again, as network drivers do, so that it wakes 1,000 times a second
at most. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused, WorkerExit
from cancorderd.report import Client, Counts, Ended, Notice, Report
from cancorderd.sources import open_source, open_watch
from cancorderd.worker.server import Server

if TYPE_CHECKING:
    from cancorderd.frame import Batch
    from cancorderd.sources.base import Source, Watch
    from cancorderd.worker.outlet import Outlet
    from cancorderd.worker.recording import Recording

GATHER_S = 0.001
GATHER_BELOW = 64
"""Frames per read: a source that delivers more at once fills its buffer faster than gathering empties it."""
REPORT_EVERY_S = 1.0
AUDIENCE_REPORT_S = 0.05
"""How soon a client that comes or goes shows in `status`."""
LOOK_AGAIN_S = 0.25
"""How often an absent adapter is looked for."""
WATCHED_LOOK_AGAIN_S = 1.0
"""The same where a watch tells of its coming; for what that might miss."""


class Worker:
    """Serves one bus until it is told to stop or the bus fails."""

    def __init__(self, section: Any, outlet: Outlet, remembered: Counts) -> None:
        self._section = section
        self._outlet = outlet
        self._remembered = remembered
        self._selector = selectors.DefaultSelector()
        self._server = Server(section, self._selector, self._notice)
        self._source: Source | None = None
        self._watch: Watch | None = None
        self._recording: Recording | None = None
        self._readable = False
        self._stopping = False
        self._phase = "starting"
        self._reason = ""
        self._found: dict[str, str] = {}
        self._received = 0
        self._payload_bytes = 0
        self._next_report_s = 0.0
        self._next_look_s = 0.0
        self._next_read_s = 0.0
        self._last_frame_s = 0.0

    def run(
        self, listeners: list[socket.socket], clients: list[tuple[Client, socket.socket, bytes]]
    ) -> WorkerExit:
        """Serve. Returns the exit status; by then the source is closed and the clients are handed over."""
        self._wake_on_signals()
        if self._outlet.descriptor is not None:
            self._selector.register(self._outlet.descriptor, selectors.EVENT_READ, self._on_link)
        for client, sock, owed in clients:
            self._server.adopt(client, sock, owed)
        for listener in listeners:
            self._server.listen(listener)
        self._begin_recording()
        try:
            while not self._stopping:
                self._round()
            status, reason = WorkerExit.DONE, ""
        except SettingsRefused as error:
            status, reason = WorkerExit.REFUSED, str(error)
        except (BusError, AdapterAbsent) as error:
            status, reason = WorkerExit.CAN_ERROR, str(error)
        finally:
            self._close_source()
            self._end_watch()
            if self._recording:
                self._recording.close()
        self._report()
        for client, sock, owed in self._server.hand_over():
            self._outlet.give_client(client, sock, owed)
        self._outlet.end(Ended(reason))
        self._server.close()
        return status

    def stop(self) -> None:
        """End in good order after this round."""
        self._stopping = True

    def _begin_recording(self) -> None:
        if self._section.record and self._section.record.enabled:
            from cancorderd.worker.recording import Recording  # noqa: PLC0415 - not where nothing is recorded

            self._recording = Recording(self._section, self._selector, self._notice)

    def _round(self) -> None:
        now_s = time.monotonic()
        if self._source is None and now_s >= self._next_look_s:
            self._open(now_s)
        for key, events in self._selector.select(self._patience(now_s)):
            key.data(events)
        now_s = time.monotonic()
        if self._server.audience_changed:
            self._server.audience_changed = False
            self._next_report_s = min(self._next_report_s, now_s + AUDIENCE_REPORT_S)
            known, clients = self._server.audience()
            if self._source is not None:
                # One that came while another went is news, too, though there are as many as before.
                for count in sorted({known, clients}):
                    self._source.audience(count, now_s)
        if self._source is not None:
            self._serve_source(self._source, now_s)
        if now_s >= self._next_report_s:
            if self._recording:
                self._recording.tick(now_s)
            self._report()

    def _patience(self, now_s: float) -> float:
        """How long nothing has to be done if nothing happens."""
        moments = [self._next_report_s - now_s]
        if self._source is None:
            moments.append(self._next_look_s - now_s)
        else:
            due = self._source.due(now_s)
            if due is not None:
                moments.append(due)
            if self._section.silence_timeout:
                moments.append(self._last_frame_s + self._section.silence_timeout - now_s)
        return max(0.0, min(moments))

    def _open(self, now_s: float) -> None:
        try:
            source = open_source(self._section)
        except AdapterAbsent as error:
            self._wait(now_s)
            self._tell("waiting", str(error))
            return
        self._end_watch()
        self._source = source
        self._last_frame_s = time.monotonic()
        descriptor = source.fileno()
        if descriptor is not None:
            self._selector.register(descriptor, selectors.EVENT_READ, self._on_source)
        self._server.audience_changed = True
        if found := source.details.get("found"):  # by a bus that searches
            self._found = {"found": found}
            self._notice("info", f"found {found}")
        self._tell("running", "")

    def _wait(self, now_s: float) -> None:
        """Settle when to look next; with a watch, also as soon as that has news."""
        if self._watch:
            self._next_look_s = now_s + WATCHED_LOOK_AGAIN_S
            return
        self._next_look_s = now_s + LOOK_AGAIN_S
        with contextlib.suppress(OSError):
            self._watch = open_watch(self._section)
        if self._watch:
            self._selector.register(self._watch.fileno(), selectors.EVENT_READ, self._on_watch)
            # It may have come between the look and the watch.
            self._next_look_s = now_s

    def _on_watch(self, _events: int) -> None:
        if self._watch and self._watch.news():
            self._next_look_s = 0.0

    def _end_watch(self) -> None:
        if self._watch:
            self._selector.unregister(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def _on_source(self, _events: int) -> None:
        self._readable = True

    def _serve_source(self, source: Source, now_s: float) -> None:
        due = source.due(now_s)
        if not self._readable and (due is None or due > 0):
            self._check_silence(now_s)
            return
        self._readable = False
        if now_s < self._next_read_s:
            time.sleep(self._next_read_s - now_s)
            now_s = self._next_read_s
        batch = source.read(now_s)
        if batch.frames:
            self._pass_on(batch, now_s)
            if batch.frames < GATHER_BELOW:
                self._next_read_s = now_s + GATHER_S
        else:
            self._check_silence(now_s)

    def _pass_on(self, batch: Batch, now_s: float) -> None:
        self._last_frame_s = now_s
        self._received += batch.frames
        self._payload_bytes += len(batch.packets) - 14 * batch.frames
        self._server.broadcast(batch)
        if self._recording:
            self._recording.take(batch)

    def _check_silence(self, now_s: float) -> None:
        limit = self._section.silence_timeout
        if limit and now_s - self._last_frame_s >= limit:
            raise BusError(f"no frame for {limit:g} s (silence_timeout).")

    def _close_source(self) -> None:
        if self._source is not None:
            descriptor = self._source.fileno()
            if descriptor is not None:
                self._selector.unregister(descriptor)
            self._source.close()

    def _tell(self, phase: str, reason: str) -> None:
        if (phase, reason) != (self._phase, self._reason):
            self._phase, self._reason = phase, reason
            self._report()

    def _report(self) -> None:
        now_s = time.monotonic()
        self._next_report_s = now_s + REPORT_EVERY_S
        source = self._source
        sent, sent_bytes = self._server.sent
        recording = self._recording.report(now_s) if self._recording else None
        counts = Counts(
            received=self._received,
            payload_bytes=self._payload_bytes,
            error=source.error_frames if source else 0,
            remote=source.remote_frames if source else 0,
            lost_kernel=source.lost_kernel if source else 0,
            lost_adapter=source.lost_adapter if source else 0,
            lost_clients=self._server.lost,
            sent=sent,
            sent_bytes=sent_bytes,
            lost_taps=self._server.lost_taps,
            recorded=recording.frames if recording else 0,
            unrecorded=recording.dropped if recording else 0,
        )
        self._outlet.report(
            Report(
                self._phase,
                self._reason,
                source.controller if source else None,
                self._remembered.plus(counts),
                self._server.reports(),
                source.details | self._found if source else {},
                recording,
            )
        )

    def _notice(self, level: str, text: str) -> None:
        self._outlet.notice(Notice(level, text))

    def _on_link(self, _events: int) -> None:
        if not self._outlet.still_there():
            # A driver that hangs while it is closed must not outlive the supervisor.
            signal.alarm(3)
            self.stop()

    def _wake_on_signals(self) -> None:
        """Let SIGTERM end the loop, also while it waits."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wakers = (reader, writer)
        self._selector.register(reader, selectors.EVENT_READ, lambda _events: reader.recv(64))
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.stop())
