"""The worker's side of recording: starts the bus's recorder, feeds it, and starts another when it ends.

The recorder is a process of its own and is fed like a client (`feed_socket`). So neither python-can's writers nor a
disk that hangs can delay the bus.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from cancorderd.ipc.backoff import Backoff
from cancorderd.ipc.channel import Channel, ChannelClosed
from cancorderd.ipc.messages import Notice, RecordingReport
from cancorderd.python_command import python_command
from cancorderd.worker.feed_socket import FeedSocket

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.record_settings import RecordSettings
    from cancorderd.protocol.batch import Batch

_BACKOFF = Backoff(first_s=1.0, longest_s=60.0)
_STABLE_S = 60.0
"""After a recorder that lived longer than this, the delays start over."""
_SILENT_S = 5.0
"""A recorder reports each second, unless its disk hangs."""
_CLOSE_S = 0.3
"""Time for the backlog and the recorder's last report when the worker ends. The recorder closes its file in any case,
and the supervisor learns its last counts."""
_REAP_S = 0.02
"""Time for a process that has closed its socket to end."""


class RecordingFeed:
    """Recording of a bus. Its socket is in the caller's selector, with a callback as its data.

    `notice` is called with a level and a text for the log.
    """

    def __init__(
        self,
        settings: BusSettings,
        record: RecordSettings,
        selector: selectors.BaseSelector,
        notice: Callable[[str, str], None],
        supervisor: socket.socket | None = None,
        *,
        command: Callable[[BusSettings, RecordSettings, int], list[str]] | None = None,
    ) -> None:
        """`command` returns the command of the recorder; its last argument is an inherited descriptor.

        `supervisor` is a socket on which recorders report their last counts to the supervisor.
        """
        self._settings = settings
        self._record = record
        self._command = command or _recorder_command
        self._notice = notice
        self._supervisor = supervisor
        self._channel: Channel | None = None
        """None while no recorder runs; its socket is that of `_out`."""
        self._out = FeedSocket(settings.client_backlog, selector, self._on_end, self._receive)
        self._process: subprocess.Popen[bytes] | None = None
        self._last_report = RecordingReport("recording", "", "", 0)
        self._last_report_s = self._started_s = self._next_start_s = 0.0
        self._failures = 0
        """Recorders in a row that ended or could not be started."""
        self._frames = 0
        """Frames written by earlier recorders."""
        self._dropped = 0
        """Frames that reached an earlier recorder, or none, and are in no file."""
        self._errors = 0
        """As `_frames`, for remote and error frames."""
        self._errors_dropped = 0
        self._start(time.monotonic())

    def feed(self, batch: Batch) -> None:
        """Send a batch to the recorder. Never waits."""
        own = batch.whole() if self._record.errors else batch.external()
        if not own.packets or self._out.send(own):
            return
        self._dropped += own.frames
        self._errors_dropped += own.internal
        if self._out.socket:
            self._on_end()

    def tick(self, now_s: float) -> None:
        """Start the recorder if it is due, and report that it falls behind. Call it once a second."""
        if self._out.socket is None and now_s >= self._next_start_s:
            self._start(now_s)
        if self._out.falls_behind():
            self._notice("warning", "recording falls behind: frames are missing in the file")

    def report(self, now_s: float) -> RecordingReport:
        """Return the state of the recording, with the frames of all recorders of this worker."""
        report = self._last_report
        silent_s = now_s - self._last_report_s
        if self._out.socket and silent_s > _SILENT_S:
            report = report._replace(
                reason=f"the recorder has not answered for {silent_s:.0f} s. Check the disk of "
                f"{self._record.directory}."
            )
        return report._replace(
            frames=self._frames + report.frames,
            dropped=self._dropped + report.dropped + self._out.backlog.frames_dropped,
            errors=self._errors + report.errors,
            errors_dropped=self._errors_dropped + report.errors_dropped + self._out.backlog.internal_dropped,
        )

    @property
    def room(self) -> int:
        """Bytes that the recorder's backlog has room for, half of it being kept for bursts."""
        return self._settings.client_backlog // 2 - self._out.backlog.size

    def release(self) -> None:
        """Close the socket in a process that a driver has forked; otherwise the recorder would outlive the worker."""
        self._out.release()

    def close(self) -> None:
        """End the stream, so that the recorder closes its file, and wait a moment for its last report."""
        sock, deadline_s = self._out.socket, time.monotonic() + _CLOSE_S
        if sock is None:
            return
        with contextlib.suppress(OSError):
            self._out.send_rest(deadline_s)
            sock.shutdown(socket.SHUT_WR)
            while (left_s := deadline_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                if not self._receive():
                    break
        self._dropped += self._out.backlog.frames_dropped
        self._errors_dropped += self._out.backlog.internal_dropped
        self._disconnect()

    def _start(self, now_s: float) -> None:
        try:
            ours = self._spawn()
        except OSError as error:
            self._schedule_start(f"the recorder cannot be started ({error.strerror or error})", now_s)
            return
        self._channel = Channel(ours)
        self._out.open(ours)
        self._started_s = self._last_report_s = now_s

    def _spawn(self) -> socket.socket:
        """Start a recorder, and return the socket to it. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            command = self._command(self._settings, self._record, theirs.fileno())
            descriptors = [theirs.fileno()]
            if self._supervisor:
                descriptors.append(self._supervisor.fileno())
                counts = [self._frames, self._dropped]
                if self._record.errors:
                    counts += [self._errors, self._errors_dropped]
                command += ["--supervisor", *map(str, (descriptors[-1], *counts))]
            self._process = subprocess.Popen(
                command, pass_fds=descriptors, stdin=subprocess.DEVNULL, process_group=0
            )
            undo.pop_all()
        return ours

    def _receive(self) -> bool:
        """Handle the recorder's messages; returns False at the end of its stream."""
        if self._channel is None:
            return False
        try:
            received = self._channel.receive()
        except ChannelClosed:
            return False
        for item in received:
            match item.message:
                case RecordingReport() as report:
                    self._last_report, self._last_report_s = report, time.monotonic()
                case Notice(level, text):
                    self._notice(level, text)
        return True

    def _on_end(self) -> None:
        """The recorder has ended: count the frames that it had and did not write."""
        report, backlog = self._last_report, self._out.backlog
        _, unsent = backlog.unsent()
        unwritten = max(0, backlog.frames_sent - report.frames - report.dropped)
        self._frames += report.frames
        self._dropped += report.dropped + backlog.frames_dropped + unsent + unwritten
        unwritten = max(0, backlog.internal_sent - report.errors - report.errors_dropped)
        self._errors += report.errors
        self._errors_dropped += (
            report.errors_dropped + backlog.internal_dropped + backlog.internal_unsent() + unwritten
        )
        self._disconnect()
        self._schedule_start(f"the recorder ended{self._exit_text()}", time.monotonic())

    def _schedule_start(self, reason: str, now_s: float) -> None:
        """Choose when the next recorder starts, and report the reason for the pause."""
        stable = now_s - self._started_s > _STABLE_S
        self._failures = 1 if stable else self._failures + 1
        delay_s = _BACKOFF.delay_s(self._failures)
        self._next_start_s = now_s + delay_s
        reason = f"{reason}; the next one starts in {delay_s:.0f} s."
        self._last_report = RecordingReport("stopped", reason, self._last_report.file, self._last_report.size)
        self._notice("error", f"recording stopped: {reason}")

    def _exit_text(self) -> str:
        """Return the signal or status that ended the recorder, or nothing if it is not known soon enough."""
        try:
            status = self._process.wait(_REAP_S) if self._process else 0
        except subprocess.TimeoutExpired:
            return ""
        return (
            f" by signal {-status} ({signal.strsignal(-status)})" if status < 0 else f" with status {status}"
        )

    def _disconnect(self) -> None:
        self._out.close()
        self._channel = None


def _recorder_command(settings: BusSettings, record: RecordSettings, descriptor: int) -> list[str]:
    """Return the command that starts the recorder; `recorder.__main__` describes it."""
    keys = asdict(record)
    channel = settings.channel if settings.interface == "socketcan" else settings.name
    return python_command(
        "cancorderd.recorder", settings.name, "--socket", str(descriptor), json.dumps(keys), str(channel)
    )
