"""Responses of every service, positive and negative, in every relevant state (ISO 14229-1:2013)."""

from __future__ import annotations

import pytest

from cancorderd.simulator.uds import S3_SERVER_S, DiagnosticSession, Nrc, Sid
from cancorderd.simulator.uds_server import BLOCK_S, SERVICE_RULES, SLOW_BLOCK_S
from tests.unit.simulator.server_bench import BLOCKS, CHECK, DOWNLOAD, ERASE, ServerBench
from tests.unit.simulator.service_cases import BLOCK_1, BLOCK_2, CASES, FUNCTIONAL


@pytest.mark.parametrize(("state", "request_", "expected"), CASES)
def test_each_request_gets_the_response_in_the_table(state: str, request_: str, expected: str) -> None:
    response = ServerBench().become(state).ask(request_).hex(" ")
    if expected.endswith(".") or not expected:
        assert response == expected.removesuffix(".")
    else:
        assert response.startswith(expected)


def test_the_cases_cover_positive_and_negative_responses_of_every_service() -> None:
    for service in Sid:
        own = [expected for _, request, expected in CASES if int(request[:2], 16) == service]
        assert any(expected.startswith(f"{service + 0x40:02x}") for expected in own)
        assert any(expected.startswith(f"7f {service:02x}") for expected in own)
    assert set(SERVICE_RULES) == set(Sid)


@pytest.mark.parametrize(("state", "request_", "expected"), FUNCTIONAL)
def test_each_request_to_all_ecus_gets_the_response_in_the_table(
    state: str, request_: str, expected: str
) -> None:
    assert ServerBench().become(state).ask(request_, functional=True).hex(" ").startswith(expected)
    if not expected:
        assert ServerBench().become(state).ask(request_, functional=True) == b""


def test_a_suppressed_response_is_kept_in_case_it_takes_long() -> None:
    reply = ServerBench().reply(b"\x3e\x80")
    assert reply is not None
    assert (reply.payload, reply.suppressed) == (b"", b"\x7e\x00")


def test_preconditions_require_the_engine_to_be_off() -> None:
    bench = ServerBench().become("idling").become("extended")
    assert bench.ask("31 01 02 03") == b"\x7f\x31\x22"
    assert bench.ask("10 02") == b"\x7f\x10\x22"
    bench.vehicle.park()
    bench.now += 2
    assert bench.ask("31 01 02 03") == b"\x71\x01\x02\x03\x00"


def test_a_session_ends_when_the_tester_sends_nothing() -> None:
    bench = ServerBench().become("unlocked")
    bench.now += S3_SERVER_S - 0.2
    assert bench.ask("3e 80") == b""
    bench.now += S3_SERVER_S - 0.2
    assert bench.ask("3e 80") == b""
    bench.expect("37", "7f 37 24")
    bench.now += S3_SERVER_S
    bench.expect("37", "7f 37 7f")
    assert bench.server.session is DiagnosticSession.DEFAULT


def test_a_change_of_session_locks_and_ends_a_download() -> None:
    bench = ServerBench().become("begun")
    bench.expect("10 02", "50 02")
    bench.expect(BLOCK_2, "7f 36 24")
    bench.expect("2e f1 5a 01 02 03 04 05 06 07 08 09", "7f 2e 33")
    bench.unlock()
    bench.expect(
        DOWNLOAD, "7f 34 31"
    )  # the written block stays: the download would have to continue after it


def test_the_default_session_enables_everything_again() -> None:
    bench = ServerBench().become("extended")
    bench.expect("28 03 01", "68 03")
    bench.expect("85 02", "c5 02")
    assert not bench.server.transmission_enabled
    assert not bench.faults.recording
    bench.expect("10 01", "50 01")
    assert bench.server.transmission_enabled
    assert bench.faults.recording


def test_disabling_network_management_alone_keeps_normal_messages() -> None:
    bench = ServerBench().become("extended")
    bench.expect("28 03 02", "68 03")
    assert bench.server.transmission_enabled


def test_new_software_runs_after_the_reset() -> None:
    bench = ServerBench().become("programmed")
    bench.expect("22 f1 95", "62 f1 95 " + b"SW_V02.15.003".hex(" "))
    bench.server.power_on()
    bench.expect("22 f1 95", "62 f1 95 " + b"SW_V02.15.004".hex(" "))
    assert bench.server.session is DiagnosticSession.DEFAULT


def test_a_written_fingerprint_can_be_read() -> None:
    bench = ServerBench().become("unlocked")
    bench.expect("2e f1 5a 01 02 03 04 05 06 07 08 09", "6e f1 5a")
    bench.expect("22 f1 5a", "62 f1 5a 01 02 03 04 05 06 07 08 09")


def test_busy_is_sent_except_for_tester_present_obd_transfers_and_requests_to_all() -> None:
    bench = ServerBench(busy_rate=1.0)
    for request in ("10 03", "22 f1 90", "19 02 ff", "11 01", "14 ff ff ff"):
        assert bench.ask(request)[2] == Nrc.BUSY_REPEAT_REQUEST
    assert bench.ask("3e 00") == b"\x7e\x00"
    assert bench.ask("01 0c")[0] == 0x41
    assert bench.ask("10 03", functional=True)[0] == 0x50
    assert bench.ask("36 01 00")[2] != Nrc.BUSY_REPEAT_REQUEST


def test_busy_changes_nothing() -> None:
    bench = ServerBench(busy_rate=1.0)
    bench.ask("10 03")
    assert bench.server.session is DiagnosticSession.DEFAULT


@pytest.mark.parametrize(
    ("state", "request_", "shortest", "longest"),
    [
        ("default", "22 f1 90", 0.010, 0.050),
        ("default", "22 12 34", 0.010, 0.050),
        ("default", "01 0c", 0.005, 0.025),
        ("programming", "27 11", 0.100, 0.300),
        ("default", "14 ff ff ff", 0.250, 0.550),
        ("unlocked", ERASE.hex(), 0.5, 2.0),
        ("exited", CHECK.hex(), 0.3, 0.7),
        ("downloading", BLOCK_1, 0.010, SLOW_BLOCK_S[1]),
    ],
)
def test_responses_take_as_long_as_the_ancestors(
    state: str, request_: str, shortest: float, longest: float
) -> None:
    for seed in range(20):
        reply = ServerBench(seed=seed).become(state).reply(bytes.fromhex(request_))
        assert reply is not None
        assert shortest <= reply.work_s <= longest


def test_a_few_blocks_of_a_download_take_longer() -> None:
    bench = ServerBench().become("begun")
    replies = [bench.reply(b"\x36\x01" + BLOCKS[0]) for _ in range(600)]
    spans = [reply.work_s for reply in replies if reply]
    assert len(spans) == 600
    slow = [span for span in spans if span > BLOCK_S[1]]
    assert 0.02 < len(slow) / len(spans) < 0.1
    assert min(slow) >= SLOW_BLOCK_S[0]


@pytest.mark.parametrize("begin", ["11 01", "11 03"])
def test_results_of_routines_are_forgotten_at_a_reset_and_kept_at_a_change_of_session(begin: str) -> None:
    bench = ServerBench().become("checked")
    bench.expect("31 03 02 03", "71 03 02 03 00")
    bench.expect("10 02", "50 02")
    bench.expect("31 03 02 03", "71 03 02 03 00")
    bench.expect("31 03 ff 00", "7f 31 24")
    bench.expect(begin, "51")
    bench.server.power_on()
    bench.extended()
    bench.expect("31 03 02 03", "7f 31 24")


@pytest.mark.parametrize("routine", ["02 03", "ff 01"])
def test_only_erasing_has_parameters(routine: str) -> None:
    for state in ("unlocked", "programmed"):
        bench = ServerBench().become(state)
        bench.expect(f"31 01 {routine} 00", "7f 31 13")
        bench.expect(f"31 03 {routine} 00", "7f 31 13")


@pytest.mark.parametrize(
    ("control", "of", "sends"),
    [
        ("00", "01", True), ("01", "01", False), ("02", "01", True), ("03", "01", False),
        ("01", "02", True), ("03", "02", True),
        ("00", "03", True), ("01", "03", False), ("03", "03", False),
    ],
)  # fmt: skip
def test_normal_messages_are_switched_by_their_own_bit(control: str, of: str, sends: bool) -> None:
    """CommunicationControl (ISO 14229-1, 9.5): 1 is normal messages, 2 network management, 3 both."""
    bench = ServerBench().become("extended")
    bench.expect(f"28 {control} {of}", f"68 {control}")
    assert bench.server.transmission_enabled == sends
