"""Answers of the daemon for the tests of tables and pages."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from cancorderd.control.protocol import BusStatus, StatusAnswer

BUS: BusStatus = {
    "name": "body",
    "interface": "slcan",
    "channel": "/dev/ttyACM0",
    "serial": None,
    "bitrate": 500000,
    "enabled": True,
    "state": "running",
    "reason": "",
    "since": 1000.0,
    "pid": 5,
    "port": 42420,
    "listen": ["0.0.0.0", "::"],
    "listen_missing": [],
    "restarts": 2,
    "last_error": "",
    "frames": {"received": 10, "per_second": 1234.4, "error": 0, "remote": 0},
    "lost": {"kernel": 1, "adapter": 2, "clients": 3, "unknown": 0},
    "load": 0.231,
    "controller": None,
    "details": {},
    "recording": None,
    "clients": [
        {
            "address": "10.0.0.7:40001",
            "connected_s": 7.0,
            "frames_sent": 10,
            "frames_dropped": 0,
            "backlog_bytes": 0,
        }
    ],
    "readers": {"connected": 0, "frames_dropped": 0},
}
RECORDING = {"state": "recording", "reason": "", "file": "/r/body.log", "bytes": 12_345_678, "dropped": 0}
STOPPED_RECORDING = RECORDING | {"state": "stopped", "reason": "full"}


def sample_bus(name: str = "body", **keys: Any) -> BusStatus:
    return cast("BusStatus", copy.deepcopy(BUS) | {"name": name} | keys)


def sample_status(*buses: BusStatus) -> StatusAnswer:
    return {
        "schema": 1,
        "host": "rack",
        "time": 1_700_000_000.0,
        "version": "0.1.0",
        "pid": 4,
        "uptime_s": 61,
        "config": "/x.toml",
        "buses": list(buses),
        "forward": None,
    }
