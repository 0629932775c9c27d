"""The status of a bus for `GET /v1/status`, built from the supervisor's own values."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.ipc.messages import LATENCY_BOUNDS_S, ClientReport, RecordingReport

if TYPE_CHECKING:
    from cancorderd.control.protocol import BusStatus, ClientStatus, LatencyStatus, RecordingStatus
    from cancorderd.supervisor.bus import Bus


def bus_status(bus: Bus) -> BusStatus:
    """Return the status of `bus`, as `control.protocol` describes it."""
    settings, counts, report = bus.settings, bus.counts, bus.report
    status: BusStatus = {
        "name": bus.name,
        "interface": settings.interface,
        "channel": settings.channel,
        "serial": settings.serial_number,
        "bitrate": settings.bitrate,
        "enabled": settings.enabled,
        "state": bus.state.value,
        "reason": bus.reason,
        "since": bus.since,
        "pid": bus.pid,
        "port": bus.port,
        "listen": list(settings.listen),
        "listen_missing": bus.listen_missing,
        "restarts": bus.lifecycle.restarts,
        "last_error": bus.last_error,
        "frames": {
            "received": counts.received,
            "per_second": round(bus.rate.frames_per_second, 1),
            "error": counts.error,
            "remote": counts.remote,
        },
        "lost": {
            "kernel": counts.lost_kernel,
            "adapter": counts.lost_adapter,
            "clients": counts.lost_clients,
            "unknown": counts.lost_unknown,
        },
        "last_frame": None if bus.last_frame is None else round(bus.last_frame, 3),
        "latency": _latency_status(bus),
        "load": round(bus.rate.load(settings.bitrate), 4),
        "controller": report.controller if report else None,
        "details": report.details if report else {},
        "recording": _recording_status(bus),
        "clients": [_client_status(client) for client in _clients(bus)],
        "readers": {"connected": bus.readers, "frames_dropped": counts.lost_taps},
    }
    if settings.database is not None:
        status["database"] = settings.database
    return status


def _latency_status(bus: Bus) -> LatencyStatus | None:
    if bus.latency is None:
        return None
    return {
        "bounds_s": list(LATENCY_BOUNDS_S),
        "counts": bus.latency.counts,
        "sum_s": bus.latency.sum_s,
    }


def _recording_status(bus: Bus) -> RecordingStatus | None:
    if not bus.settings.recorded:
        return None
    report = bus.report.recording if bus.report else None
    if report is None:
        report = RecordingReport("stopped", f"the bus is {bus.state.value}", "", 0)
    status: RecordingStatus = {
        "state": report.state,
        "reason": report.reason,
        "file": report.file or None,
        "bytes": report.size,
        "frames": bus.counts.recorded,
        "dropped": bus.counts.unrecorded,
    }
    if bus.settings.record and bus.settings.record.errors:
        status["errors"] = bus.counts.recorded_errors
        status["errors_dropped"] = bus.counts.unrecorded_errors
    return status


def _clients(bus: Bus) -> list[ClientReport]:
    """Return the clients from the worker's report, or, between workers, those that the supervisor holds."""
    if bus.report:
        return bus.report.clients
    return [
        ClientReport(
            held.handover.address,
            held.handover.connected_at_s,
            held.handover.frames_sent,
            held.handover.frames_dropped,
            len(held.unsent),
        )
        for held in bus.held_clients
        if not held.handover.tap
    ]


def _client_status(client: ClientReport) -> ClientStatus:
    return {
        "address": client.address,
        "connected_s": round(max(0.0, time.monotonic() - client.connected_at_s), 1),
        "frames_sent": client.frames_sent,
        "frames_dropped": client.frames_dropped,
        "backlog_bytes": client.backlog_bytes,
    }
