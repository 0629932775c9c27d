"""The metrics, as Prometheus reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cancorderd.web.metrics import HostFacts, metrics_text
from tests.unit.cli.ctl.sample_status import sample_bus, sample_status

if TYPE_CHECKING:
    from cancorderd.control.protocol import StatusAnswer

CLIENT = {
    "address": "10.0.0.7:1",
    "connected_s": 1.0,
    "frames_sent": 1,
    "frames_dropped": 0,
    "backlog_bytes": 40,
}


NO_FACTS = HostFacts()


def samples(status: StatusAnswer | None, facts: HostFacts = NO_FACTS) -> dict[tuple[str, ...], float]:
    """Return each sample by its name and the values of its labels."""
    text = metrics_text(status, facts).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_frames_and_losses_by_place() -> None:
    found = samples(sample_status(sample_bus("body")))
    assert found["cancorder_bus_frames_received_total", "body"] == 10
    assert found["cancorder_bus_frames_lost_total", "body", "adapter"] == 2
    assert found["cancorder_bus_frames_lost_total", "body", "clients"] == 3
    assert found["cancorder_bus_restarts_total", "body"] == 2


def test_gauges_have_the_name_of_their_bus() -> None:
    clients = [CLIENT | {"backlog_bytes": size} for size in (40, 2)]
    found = samples(sample_status(sample_bus("body", last_frame=1.5e9, load=0.25, clients=clients)))
    assert found["cancorder_bus_last_frame_timestamp_seconds", "body"] == 1.5e9
    assert found["cancorder_bus_load_ratio", "body"] == 0.25
    assert found["cancorder_bus_clients", "body"] == 2
    assert found["cancorder_bus_client_backlog_bytes", "body"] == 42


def test_one_state_is_1() -> None:
    found = samples(sample_status(sample_bus("body", state="waiting")))
    states = {key[2]: value for key, value in found.items() if key[0] == "cancorder_bus_state"}
    assert len(states) == 8
    assert [state for state, value in states.items() if value] == ["waiting"]


def test_latency_is_a_histogram_of_twelve_buckets() -> None:
    bounds = [10.0**power for power in range(-9, 2)]
    latency = {"bounds_s": bounds, "counts": [2] * 12, "sum_s": 1.5}
    found = samples(sample_status(sample_bus("body", latency=latency)))
    buckets = [value for key, value in found.items() if key[0] == "cancorder_bus_latency_seconds_bucket"]
    assert buckets == [2.0 * number for number in range(1, 13)]
    assert found["cancorder_bus_latency_seconds_count", "body"] == 24
    assert found["cancorder_bus_latency_seconds_sum", "body"] == 1.5


def test_clients_are_counted_and_never_named() -> None:
    status = sample_status(sample_bus("body", clients=[CLIENT, CLIENT]))
    found = samples(status)
    assert found["cancorder_bus_clients", "body"] == 2
    assert found["cancorder_bus_client_backlog_bytes", "body"] == 80
    assert b"10.0.0.7" not in metrics_text(status, HostFacts())


def test_error_counters_of_the_controller() -> None:
    found = samples(sample_status(sample_bus("body", details={"errors": "transmit 128, receive 7"})))
    assert found["cancorder_bus_controller_errors", "body", "transmit"] == 128
    assert found["cancorder_bus_controller_errors", "body", "receive"] == 7


@pytest.mark.parametrize(("state", "active"), [("recording", 1), ("stopped", 0)])
def test_recording(state: str, active: int) -> None:
    recording = {"state": state, "reason": "", "file": None, "bytes": 0, "frames": 5, "dropped": 2}
    found = samples(sample_status(sample_bus("body", recording=recording)))
    assert found["cancorder_bus_recorded_frames_total", "body"] == 5
    assert found["cancorder_bus_recording_active", "body"] == active
    assert found["cancorder_bus_frames_lost_total", "body", "recorder"] == 2


def test_bus_that_is_not_recorded_has_no_such_metric() -> None:
    found = samples(sample_status(sample_bus("body")))
    assert not [key for key in found if "record" in key[0]]


def test_facts_about_the_machine() -> None:
    found = samples(sample_status(), HostFacts(False, 0.25, 1000))
    assert found["cancorder_clock_synchronised",] == 0
    assert found["cancorder_clock_max_error_seconds",] == 0.25
    assert found["cancorder_recordings_free_bytes",] == 1000
    assert not [key for key in samples(sample_status()) if "clock" in key[0]], "unknown is not 0"


def test_daemon_that_does_not_answer() -> None:
    assert samples(None) == {("cancorder_up",): 0.0}


def test_forwarding() -> None:
    status: Any = sample_status() | {
        "forward": {
            "connected": True,
            "refused": False,
            "losing": True,
            "spool_bytes": 5,
            "spool_limit_bytes": 10,
            "buses": [{"name": "body", "lag_s": 1.5, "lag_frames": 3, "lost": {"feed": 4, "spool": 5}}],
        }
    }
    found = samples(status)
    assert found["cancorder_forward_connected",] == 1
    assert found["cancorder_forward_impaired",] == 1
    assert found["cancorder_forward_spool_limit_bytes",] == 10
    assert found["cancorder_forward_lag_seconds", "body"] == 1.5
    assert found["cancorder_forward_lag_frames", "body"] == 3
    assert found["cancorder_bus_frames_lost_total", "body", "spool"] == 5


LATENCY = {"bounds_s": [0.001, 0.01], "counts": [1, 2, 3], "sum_s": 0.5}
RECORDING = {"state": "recording", "reason": "", "file": "/r/a.log", "bytes": 9, "frames": 5, "dropped": 6}
EVERYTHING: Any = {
    **sample_status(
        sample_bus(
            "body", frames={"received": 10, "per_second": 1.0, "error": 11, "remote": 12}, latency=LATENCY,
            lost={"kernel": 1, "adapter": 2, "clients": 3, "unknown": 4}, recording=RECORDING, last_frame=1.5e9,
            details={"errors": "transmit 128, receive 7"},
        )
    ),
    "forward": {
        "connected": False, "refused": False, "losing": False, "spool_bytes": 5, "spool_limit_bytes": 10,
        "buses": [{"name": "body", "lag_s": 1.5, "lag_frames": 3, "lost": {"feed": 7, "spool": 8}}],
    },
}  # fmt: skip
EXPECTED = """\
cancorder_up gauge Whether the daemon answers the web process. = 1
cancorder_clock_synchronised gauge Whether the clock of this machine is synchronised with a time server. = 1
cancorder_clock_max_error_seconds gauge Largest error of the clock of this machine, by the kernel. = 0.25
cancorder_recordings_free_bytes gauge Space that is left on the fullest file system with recordings. = 99
cancorder_build_info gauge Version of the daemon. version=0.1.0 = 1
cancorder_uptime_seconds gauge Time since the daemon started. = 61
cancorder_bus_frames_received_total counter Data frames from the adapter. bus=body = 10
cancorder_bus_frames_error_total counter Error frames, and malformed input from the adapter. bus=body = 11
cancorder_bus_frames_remote_total counter Remote frames, which the wire format cannot carry. bus=body = 12
cancorder_bus_restarts_total counter Workers started in place of failed workers. bus=body = 2
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=kernel = 1
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=adapter = 2
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=clients = 3
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=unknown = 4
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=recorder = 6
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=feed = 7
cancorder_bus_frames_lost_total counter Frames lost, by the place of the loss. bus=body where=spool = 8
cancorder_bus_load_ratio gauge Share of the bus's time in use, estimated. bus=body = 0.231
cancorder_bus_clients gauge Connected clients. bus=body = 1
cancorder_bus_client_backlog_bytes gauge Bytes that wait to be sent to all clients of the bus together. bus=body = 0
cancorder_bus_last_frame_timestamp_seconds gauge Arrival of the latest data frame. bus=body = 1.5e+09
cancorder_bus_controller_errors gauge Error counters of the CAN controller, if the adapter reports them. bus=body direction=transmit = 128
cancorder_bus_controller_errors gauge Error counters of the CAN controller, if the adapter reports them. bus=body direction=receive = 7
cancorder_bus_latency_seconds_bucket histogram Time of batches of frames from the read of the adapter to the last client's send. \
bus=body le=0.001 = 1
cancorder_bus_latency_seconds_bucket histogram Time of batches of frames from the read of the adapter to the last client's send. \
bus=body le=0.01 = 3
cancorder_bus_latency_seconds_bucket histogram Time of batches of frames from the read of the adapter to the last client's send. \
bus=body le=+Inf = 6
cancorder_bus_latency_seconds_count histogram Time of batches of frames from the read of the adapter to the last client's send. \
bus=body = 6
cancorder_bus_latency_seconds_sum histogram Time of batches of frames from the read of the adapter to the last client's send. \
bus=body = 0.5
cancorder_bus_recorded_frames_total counter Frames written to files, of buses that are recorded. bus=body = 5
cancorder_bus_recording_active gauge Whether a bus that should be recorded is. bus=body = 1
cancorder_forward_connected gauge Whether the hub is connected. = 0
cancorder_forward_impaired gauge Whether forwarding loses frames, or waits for somebody to act. = 0
cancorder_forward_spool_bytes gauge Bytes of the frames that wait for the hub, on the disk and in memory. = 5
cancorder_forward_spool_limit_bytes gauge Bytes that may wait. = 10
cancorder_forward_lag_seconds gauge Age of the oldest frame that the hub has not acknowledged. bus=body = 1.5
cancorder_forward_lag_frames gauge Frames that the hub has not acknowledged. bus=body = 3
"""


def test_names_types_descriptions_and_labels_are_those_that_dashboards_and_rules_use() -> None:
    """Whoever changes one of these lines changes what users have written into their rules and panels."""
    text = metrics_text(EVERYTHING, HostFacts(True, 0.25, 99)).decode()
    lines = [
        f"{sample.name} {family.type} {family.documentation} "
        + "".join(f"{name}={value} " for name, value in sample.labels.items())
        + f"= {sample.value:g}"
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name != "cancorder_bus_state"
    ]
    assert sorted(lines) == sorted(EXPECTED.splitlines())
