"""Every service's answers, positive and negative, in every state that matters (ISO 14229-1:2013)."""

from __future__ import annotations

import pytest

from cancorderd.simulator.server import RULES, SLOW_BLOCK_S
from cancorderd.simulator.uds import S3_SERVER_S, Nrc, Session, Sid
from tests.simulator.bench import CHECK, DOWNLOAD, ERASE, Bench
from tests.simulator.service_cases import BLOCK_1, BLOCK_2, CASES, FUNCTIONAL


@pytest.mark.parametrize(("state", "request_", "expected"), CASES)
def test_answers(state: str, request_: str, expected: str) -> None:
    answered = Bench().become(state).ask(request_).hex(" ")
    if expected.endswith(".") or not expected:
        assert answered == expected.removesuffix(".")
    else:
        assert answered.startswith(expected)


def test_every_service_has_positive_and_negative_answers_above() -> None:
    for service in Sid:
        own = [expected for _, request, expected in CASES if int(request[:2], 16) == service]
        assert any(expected.startswith(f"{service + 0x40:02x}") for expected in own)
        assert any(expected.startswith(f"7f {service:02x}") for expected in own)
    assert set(RULES) == set(Sid)


@pytest.mark.parametrize(("state", "request_", "expected"), FUNCTIONAL)
def test_requests_to_all_ecus(state: str, request_: str, expected: str) -> None:
    assert Bench().become(state).ask(request_, functional=True).hex(" ").startswith(expected)
    if not expected:
        assert Bench().become(state).ask(request_, functional=True) == b""


def test_a_suppressed_response_is_kept_for_the_case_that_it_takes_long() -> None:
    reply = Bench().reply(b"\x3e\x80")
    assert reply is not None
    assert (reply.payload, reply.suppressed) == (b"", b"\x7e\x00")


def test_preconditions_need_the_engine_off() -> None:
    bench = Bench().become("idling").become("extended")
    assert bench.ask("31 01 02 03") == b"\x7f\x31\x22"
    assert bench.ask("10 02") == b"\x7f\x10\x22"
    bench.vehicle.park()
    bench.now += 2
    assert bench.ask("31 01 02 03") == b"\x71\x01\x02\x03\x00"


def test_a_session_ends_when_the_tester_falls_silent() -> None:
    bench = Bench().become("unlocked")
    bench.now += S3_SERVER_S - 0.2
    assert bench.ask("3e 80") == b""
    bench.now += S3_SERVER_S - 0.2
    assert bench.ask("3e 80") == b""
    bench.expect("37", "7f 37 24")
    bench.now += S3_SERVER_S
    bench.expect("37", "7f 37 7f")
    assert bench.server.session is Session.DEFAULT


def test_a_change_of_session_locks_and_ends_a_download() -> None:
    bench = Bench().become("begun")
    bench.expect("10 02", "50 02")
    bench.expect(BLOCK_2, "7f 36 24")
    bench.expect("2e f1 5a 01 02 03 04 05 06 07 08 09", "7f 2e 33")
    bench.unlock()
    bench.expect(DOWNLOAD, "7f 34 31")  # what is written stays: it would have to go on from there


def test_the_default_session_enables_everything_again() -> None:
    bench = Bench().become("extended")
    bench.expect("28 03 01", "68 03")
    bench.expect("85 02", "c5 02")
    assert not bench.server.talking
    assert not bench.faults.recording
    bench.expect("10 01", "50 01")
    assert bench.server.talking
    assert bench.faults.recording


def test_network_management_alone_does_not_silence_it() -> None:
    bench = Bench().become("extended")
    bench.expect("28 03 02", "68 03")
    assert bench.server.talking


def test_new_software_runs_after_the_reset() -> None:
    bench = Bench().become("programmed")
    bench.expect("22 f1 95", "62 f1 95 " + b"SW_V02.15.003".hex(" "))
    bench.server.power_on()
    bench.expect("22 f1 95", "62 f1 95 " + b"SW_V02.15.004".hex(" "))
    assert bench.server.session is Session.DEFAULT


def test_what_was_written_can_be_read() -> None:
    bench = Bench().become("unlocked")
    bench.expect("2e f1 5a 01 02 03 04 05 06 07 08 09", "6e f1 5a")
    bench.expect("22 f1 5a", "62 f1 5a 01 02 03 04 05 06 07 08 09")


def test_busy_is_said_to_any_request_but_those_that_keep_things_going() -> None:
    bench = Bench(busy_rate=1.0)
    for request in ("10 03", "22 f1 90", "19 02 ff", "11 01", "14 ff ff ff"):
        assert bench.ask(request)[2] == Nrc.BUSY_REPEAT_REQUEST
    assert bench.ask("3e 00") == b"\x7e\x00"
    assert bench.ask("01 0c")[0] == 0x41
    assert bench.ask("10 03", functional=True)[0] == 0x50
    assert bench.ask("36 01 00")[2] != Nrc.BUSY_REPEAT_REQUEST


def test_busy_changes_nothing() -> None:
    bench = Bench(busy_rate=1.0)
    bench.ask("10 03")
    assert bench.server.session is Session.DEFAULT


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
def test_answers_take_as_long_as_the_ancestors(
    state: str, request_: str, shortest: float, longest: float
) -> None:
    for seed in range(20):
        reply = Bench(seed=seed).become(state).reply(bytes.fromhex(request_))
        assert reply is not None
        assert shortest <= reply.work_s <= longest
