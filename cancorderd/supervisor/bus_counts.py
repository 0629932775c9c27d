"""Counts of a bus over all its workers: frames, losses, latency, the latest frame, and the position at which frames wait.

A worker reports its own counts on top of those that it was given at its start. A crashed worker reports no more: its losses
are estimated (`loss_estimate`), and its recorder sends the last counts itself (`recording_end`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.ipc.messages import Counts
from cancorderd.supervisor.loss_estimate import LossEstimate, frames_unsent
from cancorderd.supervisor.moment import Moment
from cancorderd.supervisor.rate import Rate
from cancorderd.supervisor.recording_end import RecordingWatch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cancorderd.ipc.messages import BusReport, Latency


class BusCounts:
    """Counts of one bus. `warn` receives a sentence for each loss that no worker reported."""

    def __init__(self, warn: Callable[[str], None], fed: int = 0) -> None:
        """`fed` counts the frames that an earlier bus of this name had for the forwarder."""
        self._warn = warn
        self.reported = Counts(fed=fed)
        """Counts of all workers, by their reports."""
        self._uncounted = Counts()
        """Counts that no worker reported: of crashes, and of recorders that ended after their workers."""
        self._counted_before = Counts()
        """`reported` when the present worker started."""
        self.latency: Latency | None = None
        """Latency of the batches of all workers; None before the first report."""
        self.rate = Rate()
        self.position = ""
        """Position at which the last worker ended, if the frames of this bus wait there (`BusReport.position`)."""
        self._latest_frame: Moment | None = None
        self._loss = LossEstimate()
        self._recording: RecordingWatch | None = None
        """The recorders of the present worker, if the bus is recorded."""

    @property
    def since_start(self) -> Counts:
        """Counts since the daemon started."""
        return self.reported.plus(self._uncounted)

    @property
    def last_frame(self) -> float | None:
        """Arrival of the latest data frame, in seconds since the epoch; None if there was none."""
        moment = self._latest_frame
        return moment.epoch(time.monotonic(), time.time()) if moment else None

    def worker_starts(self, *, recorded: bool) -> socket.socket | None:
        """Begin the counts of a worker; returns the socket for its recorders, to be closed when the worker has a copy."""
        self._counted_before = self.reported
        self._recording = RecordingWatch(self._on_recording_end) if recorded else None
        return self._recording.for_worker if self._recording else None

    def take_report(self, report: BusReport) -> None:
        self.reported = report.counts
        self.latency = report.latency or self.latency
        if report.last_frame_s is not None:
            passed_s = time.monotonic() - report.last_frame_s
            self._latest_frame = Moment(report.last_frame_s, time.time() - passed_s)
        # The worker's time: a supervisor that reads late would see other rates.
        at_s = time.monotonic() if report.counted_to_s is None else report.counted_to_s
        self.rate.update(report.counts, at_s)
        if report.position:
            self.position = report.position
        elif report.state == "running":
            self._add_unknown(self._loss.source_open(at_s, report.counts.received))
        elif report.state == "waiting" and not report.proving:
            self._add_unknown(self._loss.adapter_absent())

    def worker_ended(self, last_report: BusReport | None, *, in_order: bool) -> None:
        """Finish the counts of a worker; unless it ended `in_order`, it hands nothing over and takes frames along."""
        if in_order:
            self._loss.ended()
        else:
            self._loss.crashed(time.monotonic())
            if unsent := frames_unsent(last_report) if last_report else 0:
                self._uncounted = self._uncounted.plus(Counts(lost_clients=unsent))
                self._warn(f"about {unsent} frames for slow clients lost with a worker that crashed")
        if self._recording:
            self._recording.worker_ended(self.reported.minus(self._counted_before))
            self._recording = None
        self.rate = Rate()

    def not_wanted(self) -> None:
        """Note that the bus has to run no more: nothing is lost from now on, and frames do not wait."""
        self._add_unknown(self._loss.unwanted(time.monotonic()))
        self.position = ""

    def _on_recording_end(self, uncounted: Counts) -> None:
        # The status shows it by itself: by now another bus may have this one's name, and its announcement.
        self._uncounted = self._uncounted.plus(uncounted)

    def _add_unknown(self, frames: int) -> None:
        if frames:
            self._uncounted = self._uncounted.plus(Counts(lost_unknown=frames))
            self._warn(f"up to {frames} frames lost with a worker that crashed")
