"""What `GET /v1/status` answers, from what the supervisor keeps. Shapes: design of `status --json`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cancorderd.report import ClientReport, Recording

if TYPE_CHECKING:
    from cancorderd.supervisor.bus import Bus


def bus_status(bus: Bus) -> dict[str, Any]:
    """One bus. `since` is in seconds since the epoch, `load` a share from 0 to 1."""
    section, counts, report = bus.section, bus.counts, bus.report
    return {
        "name": bus.name,
        "interface": section.interface,
        "channel": section.channel,
        "serial": getattr(section, "serial", None),
        "bitrate": section.bitrate,
        "enabled": section.enabled,
        "state": bus.life.phase.value,
        "reason": bus.reason,
        "since": bus.since,
        "pid": bus.pid,
        "port": bus.port,
        "listen": list(section.listen),
        "restarts": bus.life.restarts,
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
        },
        "load": round(bus.rate.load(section.bitrate), 4),
        "controller": report.controller if report else None,
        "details": report.details if report else {},
        "recording": _recording(bus),
        "clients": [_client(one) for one in _clients(bus)],
    }


def _recording(bus: Bus) -> dict[str, Any] | None:
    """None where the bus is not recorded; `frames` and `dropped` are totals, `bytes` are of `file`."""
    if bus.section.record is None or not bus.section.record.enabled:
        return None
    told = bus.report.recording if bus.report else None
    if told is None:
        told = Recording("stopped", f"the bus is {bus.life.phase.value}", "", 0)
    return {
        "state": told.state,
        "reason": told.reason,
        "file": told.file or None,
        "bytes": told.size,
        "frames": bus.counts.recorded,
        "dropped": bus.counts.unrecorded,
    }


def _clients(bus: Bus) -> list[ClientReport]:
    if bus.report:
        return bus.report.clients
    return [
        ClientReport(
            one.client.address,
            one.client.connected_at,
            one.client.frames_sent,
            one.client.frames_dropped,
            len(one.owed),
        )
        for one in bus.clients_between
        if not one.client.tap
    ]


def _client(one: ClientReport) -> dict[str, Any]:
    return {
        "address": one.address,
        "connected_s": round(max(0.0, time.time() - one.connected_at), 1),
        "frames_sent": one.frames_sent,
        "frames_dropped": one.frames_dropped,
        "backlog_bytes": one.backlog_bytes,
    }
