"""The metrics for Prometheus, from a status. Pure.

Labels are buses, places, states and directions only: never a client or an arbitration id, of which there may be any
number.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from cancorderd.control.protocol import StateName, forwarding_impaired

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from cancorderd.control.protocol import BusStatus, ForwardStatus, StatusAnswer

CONTENT_TYPE = CONTENT_TYPE_LATEST
_ERRORS = re.compile(r"transmit (\d+), receive (\d+)")
"""The detail `errors` of a SocketCAN interface (ISO 11898-1, 12.1.4.2)."""


class HostFacts(NamedTuple):
    """Facts about this machine, which the daemon does not report."""

    clock_synchronised: bool | None = None
    """None if nobody here can say."""
    clock_max_error_s: float | None = None
    recordings_free: int | None = None
    """Bytes left on the fullest file system with recordings."""


def metrics_text(status: StatusAnswer | None, facts: HostFacts) -> bytes:
    """Return the metrics in Prometheus' text format; without a status, `cancorder_up` is 0."""
    registry = CollectorRegistry()
    registry.register(_Metrics(status, facts))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, status: StatusAnswer | None, facts: HostFacts) -> None:
        self._status = status
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("cancorder_up", "Whether the daemon answers the web process.", float(status is not None))
        yield from _facts(self._facts)
        if status is None:
            return
        build = GaugeMetricFamily("cancorder_build_info", "Version of the daemon.", labels=["version"])
        build.add_metric([status["version"]], 1)
        yield build
        yield _gauge("cancorder_uptime_seconds", "Time since the daemon started.", status["uptime_s"])
        forward = status["forward"]
        yield from _bus_counters(status["buses"], forward)
        yield from _bus_gauges(status["buses"])
        yield _latency(status["buses"])
        yield from _recording(status["buses"])
        if forward:
            yield from _forward(forward)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _facts(facts: HostFacts) -> Iterator[Metric]:
    if facts.clock_synchronised is not None:
        text = "Whether the clock of this machine is synchronised with a time server."
        yield _gauge("cancorder_clock_synchronised", text, facts.clock_synchronised)
    if facts.clock_max_error_s is not None:
        text = "Largest error of the clock of this machine, by the kernel."
        yield _gauge("cancorder_clock_max_error_seconds", text, facts.clock_max_error_s)
    if facts.recordings_free is not None:
        text = "Space that is left on the fullest file system with recordings."
        yield _gauge("cancorder_recordings_free_bytes", text, facts.recordings_free)


def _bus_counters(buses: Iterable[BusStatus], forward: ForwardStatus | None) -> Iterator[Metric]:
    received, errors, remote, restarts = (
        CounterMetricFamily(f"cancorder_bus_{name}", text, labels=["bus"])
        for name, text in (
            ("frames_received", "Data frames from the adapter."),
            ("frames_error", "Error frames, and malformed input from the adapter."),
            ("frames_remote", "Remote frames, which the wire format cannot carry."),
            ("restarts", "Workers started in place of failed workers."),
        )
    )
    lost = CounterMetricFamily(
        "cancorder_bus_frames_lost", "Frames lost, by the place of the loss.", labels=["bus", "where"]
    )
    for bus in buses:
        name = [bus["name"]]
        received.add_metric(name, bus["frames"]["received"])
        errors.add_metric(name, bus["frames"]["error"])
        remote.add_metric(name, bus["frames"]["remote"])
        restarts.add_metric(name, bus["restarts"])
        for where, frames in _losses(bus).items():
            lost.add_metric([*name, where], frames)
    for forwarded in forward["buses"] if forward else ():
        lost.add_metric([forwarded["name"], "feed"], forwarded["lost"]["feed"])
        lost.add_metric([forwarded["name"], "spool"], forwarded["lost"]["spool"])
    yield from (received, errors, remote, restarts, lost)


def _losses(bus: BusStatus) -> dict[str, int]:
    losses = {where: frames for where, frames in bus["lost"].items() if isinstance(frames, int)}
    if recording := bus["recording"]:
        losses["recorder"] = recording["dropped"]
    return losses


def _bus_gauges(buses: Iterable[BusStatus]) -> Iterator[Metric]:
    load, clients, backlog, last_frame = (
        GaugeMetricFamily(f"cancorder_bus_{name}", text, labels=["bus"])
        for name, text in (
            ("load_ratio", "Share of the bus's time in use, estimated."),
            ("clients", "Connected clients."),
            ("client_backlog_bytes", "Bytes that wait to be sent to all clients of the bus together."),
            ("last_frame_timestamp_seconds", "Arrival of the latest data frame."),
        )
    )
    states = GaugeMetricFamily(
        "cancorder_bus_state", "1 for the state that the bus is in.", labels=["bus", "state"]
    )
    errors = GaugeMetricFamily(
        "cancorder_bus_controller_errors",
        "Error counters of the CAN controller, if the adapter reports them.",
        labels=["bus", "direction"],
    )
    for bus in buses:
        name = [bus["name"]]
        load.add_metric(name, bus["load"])
        clients.add_metric(name, len(bus["clients"]))
        backlog.add_metric(name, sum(client["backlog_bytes"] for client in bus["clients"]))
        if (moment := bus.get("last_frame")) is not None:
            last_frame.add_metric(name, moment)
        for state in get_args(StateName):
            states.add_metric([*name, state], float(bus["state"] == state))
        if found := _ERRORS.fullmatch(bus["details"].get("errors", "")):
            errors.add_metric([*name, "transmit"], int(found[1]))
            errors.add_metric([*name, "receive"], int(found[2]))
    yield from (load, clients, backlog, last_frame, states, errors)


def _latency(buses: Iterable[BusStatus]) -> Metric:
    metric = HistogramMetricFamily(
        "cancorder_bus_latency_seconds",
        "Time of batches of frames from the read of the adapter to the last client's send.",
        labels=["bus"],
    )
    for bus in buses:
        if latency := bus.get("latency"):
            bounds = [*(f"{bound:g}" for bound in latency["bounds_s"]), "+Inf"]
            buckets = list(zip(bounds, map(float, accumulate(latency["counts"])), strict=True))
            metric.add_metric([bus["name"]], buckets=buckets, sum_value=latency["sum_s"])
    return metric


def _recording(buses: Iterable[BusStatus]) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        "cancorder_bus_recorded_frames",
        "Frames written to files, of buses that are recorded.",
        labels=["bus"],
    )
    active = GaugeMetricFamily(
        "cancorder_bus_recording_active", "Whether a bus that should be recorded is.", labels=["bus"]
    )
    for bus in buses:
        if recording := bus["recording"]:
            frames.add_metric([bus["name"]], recording["frames"])
            active.add_metric([bus["name"]], float(recording["state"] == "recording"))
    yield from (frames, active)


def _forward(forward: ForwardStatus) -> Iterator[Metric]:
    """Yield the metrics of forwarding to a hub."""
    yield _gauge("cancorder_forward_connected", "Whether the hub is connected.", forward["connected"])
    text = "Whether forwarding loses frames, or waits for somebody to act."
    yield _gauge("cancorder_forward_impaired", text, forwarding_impaired(forward))
    text = "Bytes of the frames that wait for the hub, on the disk and in memory."
    yield _gauge("cancorder_forward_spool_bytes", text, forward["spool_bytes"])
    yield _gauge("cancorder_forward_spool_limit_bytes", "Bytes that may wait.", forward["spool_limit_bytes"])
    lag_s, lag_frames = (
        GaugeMetricFamily(name, text, labels=["bus"])
        for name, text in (
            ("cancorder_forward_lag_seconds", "Age of the oldest frame that the hub has not acknowledged."),
            ("cancorder_forward_lag_frames", "Frames that the hub has not acknowledged."),
        )
    )
    for bus in forward["buses"]:
        lag_s.add_metric([bus["name"]], bus["lag_s"])
        lag_frames.add_metric([bus["name"]], bus["lag_frames"])
    yield from (lag_s, lag_frames)
