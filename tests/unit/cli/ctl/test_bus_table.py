from __future__ import annotations

from typing import Any

import pytest

from cancorderd.cli.ctl.bus_table import bus_table, frames_lost, heading, reason, status_text
from cancorderd.cli.ctl.status import all_good
from tests.unit.cli.ctl.sample_status import RECORDING, STOPPED_RECORDING, sample_bus, sample_status


def test_table() -> None:
    assert status_text(sample_status(sample_bus()), 1185.0).splitlines() == [
        "cancorderd 0.1.0, process 4, up 1m01s, /x.toml: 1 of 1 buses running",
        "",
        "BUS   STATE    INTERFACE  CHANNEL        PORT  FRAMES/S  LOAD  CLIENTS  LOST  RESTARTS  SINCE  WHY",
        "body  running  slcan      /dev/ttyACM0  42420      1234   23%        1     6         2  3m05s",
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"state": "waiting", "reason": "unplugged", "last_error": "x"}, "unplugged"),
        ({"last_error": "went down"}, "was: went down"),
        ({"details": {"idle": "waits for a client"}, "last_error": "x"}, "waits for a client"),
        (
            {"details": {"idle": "waits for a client"}, "recording": RECORDING | {"file": None}},
            "waits for a client; records from the first frame on",
        ),
        ({"details": {"idle": "waits for a client"}, "state": "stopped"}, ""),
        ({"state": "backoff", "controller": "bus-off", "reason": "can0 is bus-off."}, "can0 is bus-off."),
        ({"controller": "error-passive", "last_error": "x"}, "controller is error-passive"),
        ({"controller": "error-active", "last_error": "x"}, "was: x"),
        (
            {"listen_missing": ["192.0.2.99"], "last_error": "x"},
            "listen: this machine has no address 192.0.2.99 (yet). Correct listen, or wait for the network.",
        ),
        (
            {"listen_missing": ["192.0.2.99", "::1"]},
            "listen: this machine has no address 192.0.2.99 or ::1 (yet). Correct listen, or wait for the network.",
        ),
        ({"listen_missing": ["::1"], "state": "waiting", "reason": "unplugged"}, "unplugged"),
        ({"controller": "error-passive"}, "controller is error-passive"),
        ({"controller": "error-active"}, ""),
        ({"recording": None}, ""),
        ({"recording": RECORDING}, "records to /r/body.log"),
        ({"recording": RECORDING | {"dropped": 7}}, "records to /r/body.log, 7 frames missing"),
        ({"recording": RECORDING | {"file": None}}, "records from the first frame on"),
        ({"recording": RECORDING, "last_error": "went down"}, "was: went down"),
        ({"recording": STOPPED_RECORDING, "last_error": "went down"}, "recording stopped: full"),
        ({"recording": STOPPED_RECORDING, "state": "waiting", "reason": "unplugged"}, "unplugged"),
    ],
)
def test_reason(keys: dict[str, Any], expected: str) -> None:
    bus = sample_bus(**keys)
    assert reason(bus) == expected
    assert bus_table([bus], 1185.0).rows[0][-1] == expected


def test_bus_without_channel_and_port_has_dashes() -> None:
    (row,) = bus_table([sample_bus(channel=None, port=None)], 1000.0).rows
    assert row[:5] == ("body", "running", "slcan", "-", "-")


def test_status_without_buses_says_how_to_add_one() -> None:
    assert "No buses: add a [bus.NAME] table." in status_text(sample_status(), 0)


@pytest.mark.parametrize(
    ("state", "good"),
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
def test_bus_is_good_unless_it_should_run_and_does_not(state: str, good: bool) -> None:
    assert all_good([sample_bus(state=state)]) is good


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (RECORDING, "running"),
        (STOPPED_RECORDING, "running, 1 recording stopped"),
        (RECORDING | {"reason": "the recorder has not answered for 9 s."}, "running, 1 recording impaired"),
    ],
)
def test_impaired_recording_is_not_good_and_in_the_heading(recording: dict[str, Any], words: str) -> None:
    buses = [
        sample_bus(),
        sample_bus(recording=recording),
        sample_bus(recording=STOPPED_RECORDING, state="stopped"),
    ]
    assert all_good(buses) is (words == "running")
    assert heading(sample_status(*buses)).endswith(f"2 of 3 buses {words}")


def test_impaired_recordings_are_counted() -> None:
    buses = [sample_bus(recording=STOPPED_RECORDING), sample_bus(recording=STOPPED_RECORDING)]
    assert heading(sample_status(*buses)).endswith("2 of 2 buses running, 2 recordings stopped")


@pytest.mark.parametrize(("unknown", "cell"), [(0, "6"), (7, "up to 13")])
def test_lost_frames_are_a_limit_if_a_part_is_an_estimate(unknown: int, cell: str) -> None:
    bus = sample_bus(lost={"kernel": 1, "adapter": 2, "clients": 3, "unknown": unknown})
    table = bus_table([bus], 1000.0)
    assert dict(zip(table.header, table.rows[0], strict=True))["LOST"] == cell
    assert frames_lost(bus) == 6 + unknown


@pytest.mark.parametrize(
    ("keys", "cell", "reason"),
    [
        ({}, "-", ""),
        ({"recording": RECORDING}, "12 MB", "records to /r/body.log"),
        ({"recording": STOPPED_RECORDING}, "stopped", "recording stopped: full"),
        ({"recording": STOPPED_RECORDING, "state": "stopped"}, "-", ""),
    ],
)
def test_recording_has_a_column_if_any_bus_records(keys: dict[str, Any], cell: str, reason: str) -> None:
    header, rows = bus_table([sample_bus(**keys), sample_bus(recording=RECORDING)], 1000.0)
    assert dict(zip(header, rows[0], strict=True)).items() >= {"REC": cell, "WHY": reason}.items()
    assert "REC" not in bus_table([sample_bus()], 1000.0).header


def test_lost_frames_of_a_daemon_that_estimates_none() -> None:
    assert frames_lost(sample_bus(lost={"kernel": 1, "adapter": 2, "clients": 3})) == 6


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"serial": "1205AA6", "channel": "/dev/ttyACM0"}, "1205AA6"),
        ({"serial": None, "channel": 0}, "0"),
        ({"channel": "can0", "details": {"found": "gs_usb 0031"}}, "can0"),
        ({"channel": None, "details": {"found": "gs_usb 0031"}}, "gs_usb 0031"),
        ({"channel": None}, "-"),
    ],
)
def test_adapter_has_its_best_name(keys: dict[str, Any], name: str) -> None:
    table = bus_table([sample_bus(**keys)], 1000.0)
    assert dict(zip(table.header, table.rows[0], strict=True))["CHANNEL"] == name


@pytest.mark.parametrize(
    ("web", "end"),
    [
        (None, "0 of 0 buses running"),
        ({"address": "http://localhost:8642/", "reason": ""}, "0 of 0 buses running; page: http://localhost:8642/"),
        ({"address": "http://localhost:8642/", "reason": "8642 is taken."}, "0 of 0 buses running; page: 8642 is taken."),
    ],
)  # fmt: skip
def test_heading_has_the_address_of_the_page_or_why_there_is_none(web: Any, end: str) -> None:
    status: Any = {**sample_status(), "web": web}
    assert heading(status) == f"cancorderd 0.1.0, process 4, up 1m01s, /x.toml: {end}"
    status["config"] = None
    assert heading(status).startswith("cancorderd 0.1.0, process 4, up 1m01s, demo: 0 of 0")


def test_forwarding_stands_below_the_table() -> None:
    forward = {
        "gateway": "truck-17", "url": "tls://hub:4222", "connected": True, "reason": "", "spool_bytes": 0,
        "spool_limit_bytes": 0, "spool_lasts_s": None, "retained_s": 0.0, "buses": [],
    }  # fmt: skip
    status: Any = {**sample_status(sample_bus()), "forward": forward}
    assert status_text(status, 1185.0).splitlines()[3:] == [
        "body  running  slcan      /dev/ttyACM0  42420      1234   23%        1     6         2  3m05s",
        "",
        "forwarding as truck-17 to tls://hub:4222: connected; spool 0 B of 0 B",
    ]
