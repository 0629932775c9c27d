from __future__ import annotations

import copy
from typing import Any

import pytest

from cancorderd.cli import render

BUS: dict[str, Any] = {
    "name": "body",
    "interface": "slcan",
    "channel": "/dev/ttyACM0",
    "bitrate": 500000,
    "state": "running",
    "reason": "",
    "since": 1000.0,
    "pid": 5,
    "port": 42420,
    "restarts": 2,
    "last_error": "",
    "frames": {"received": 10, "per_second": 1234.4, "error": 0, "remote": 0},
    "lost": {"kernel": 1, "adapter": 2, "clients": 3},
    "load": 0.231,
    "controller": None,
    "clients": [{}],
}


RECORDING = {"state": "recording", "reason": "", "file": "/r/body.log", "bytes": 12_345_678, "dropped": 0}
STOPPED = RECORDING | {"state": "stopped", "reason": "full"}


def status(**keys: Any) -> dict[str, Any]:
    bus = copy.deepcopy(BUS) | keys
    return {"version": "0.1.0", "pid": 4, "uptime_s": 61, "config": "/etc/cancorder.toml", "buses": [bus]}


def test_table() -> None:
    assert render.status_table(status(), 1185.0).splitlines() == [
        "cancorderd 0.1.0, process 4, up 1m01s, /etc/cancorder.toml: 1 of 1 buses running",
        "",
        "BUS   STATE    INTERFACE  CHANNEL        PORT  FRAMES/S  LOAD  CLIENTS  LOST  RESTARTS  SINCE  WHY",
        "body  running  slcan      /dev/ttyACM0  42420      1234   23%        1     6         2  3m05s",
    ]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"state": "waiting", "reason": "unplugged", "last_error": "x"}, "unplugged"),
        ({"last_error": "went down"}, "was: went down"),
        ({"controller": "error-passive"}, "controller is error-passive"),
        ({"controller": "error-active"}, ""),
        ({"recording": None}, ""),
        ({"recording": RECORDING}, "records to /r/body.log"),
        ({"recording": RECORDING | {"dropped": 7}}, "records to /r/body.log, 7 frames missing"),
        ({"recording": RECORDING | {"file": None}}, "records from the first frame on"),
        ({"recording": RECORDING, "last_error": "went down"}, "was: went down"),
        ({"recording": STOPPED, "last_error": "went down"}, "recording stopped: full"),
        ({"recording": STOPPED, "state": "waiting", "reason": "unplugged"}, "unplugged"),
    ],
)
def test_why(keys: dict[str, Any], why: str) -> None:
    line = render.status_table(status(**keys), 1185.0).splitlines()[-1]
    _, _, told = line.partition("3m05s")
    assert told.endswith(f"  {why}") if why else not told.strip()


def test_bus_without_channel_and_port() -> None:
    line = render.status_table(status(channel=None, port=None), 1000.0).splitlines()[-1]
    assert line.split()[:5] == ["body", "running", "slcan", "-", "-"]


def test_no_buses() -> None:
    empty = status() | {"buses": []}
    assert "No buses: add a [bus.NAME] table." in render.status_table(empty, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (90061, "1d01h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("running", True),
        ("disabled", True),
        ("stopped", True),
        ("starting", False),
        ("waiting", False),
        ("backoff", False),
        ("failed", False),
        ("stopping", False),
    ],
)
def test_bus_that_should_run_and_does_not(state: str, wanted: bool) -> None:
    assert render.all_as_wanted(status(state=state)["buses"]) is wanted


@pytest.mark.parametrize(
    ("keys", "cell", "why"),
    [
        ({}, "-", ""),
        ({"recording": RECORDING}, "12 MB", "records to /r/body.log"),
        ({"recording": STOPPED}, "stopped", "recording stopped: full"),
        ({"recording": STOPPED, "state": "stopped"}, "-", ""),
    ],
)
def test_how_much_is_recorded(keys: dict[str, Any], cell: str, why: str) -> None:
    buses = [status(**keys)["buses"][0], status(recording=RECORDING)["buses"][0]]
    header, rows = render.status_cells(buses, 1000.0)
    assert dict(zip(header, rows[0], strict=True)).items() >= {"REC": cell, "WHY": why}.items()
    assert "REC" not in render.status_cells([status()["buses"][0]], 1000.0).header


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_500, "1.0 MB"),
        (81_500_000, "82 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert render.size(count) == text


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    assert render.columns(("NAME",), [("a\x1b[2Jb\x07\n",)]) == ["NAME", "a?[2Jb??"]
    event = {"time": 0, "bus": "b", "level": "info", "text": "one\ntwo\x1b[31m"}
    assert render.event_line(event).endswith("b: one\ntwo?[31m")
