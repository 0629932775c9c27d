"""The tester: waiting, repeating, giving up, keeping a session alive (ISO 14229-2)."""

from __future__ import annotations

import itertools
import random

import pytest

from cancorderd.simulator import isotp_endpoint, isotp_frames, tester
from cancorderd.simulator.ecu import Addresses
from cancorderd.simulator.simulated_bus import BusFrame
from cancorderd.simulator.tester import MAX_BUSY, MAX_REPEATS, NETWORK_S, TESTER_PRESENT
from cancorderd.simulator.tester_script import (
    KeepAlive,
    NegativeResponse,
    NoAnswer,
    Pause,
    Script,
    ask,
    try_request,
)
from cancorderd.simulator.uds import P2_S, P2_STAR_S, S3_CLIENT_S, Nrc

ADDRESSES = Addresses(0x7E0, 0x7E8, 0x7DF, 0)
REQUEST = b"\x22\xf1\x90"


class ScriptLine:
    """A tester and scripted responses, 10 ms after each request. None is no response."""

    def __init__(self, script: Script, *answers: bytes | None) -> None:
        self.steps: list[float] = []
        self.tester = tester.Tester(ADDRESSES, tester.profile(8), random.Random(1), self.steps.append)
        self.now = 0.0
        self.sent: list[tuple[float, BusFrame]] = []
        self._answers = list(answers)
        self.tester.run(script, 0.0)

    def run(self, seconds: float = 60.0) -> None:
        until = self.now + seconds
        while (due := self.tester.due) <= until:
            self.now = max(due, self.now)
            self.tester.wake(self.now)
            while self.tester.outbox:
                frame = self.tester.outbox.pop(0)
                self.sent.append((self.now, frame))
                self.tester.sent(frame, self.now)
                if frame.data[1:3] != TESTER_PRESENT and self._answers and (answer := self._answers.pop(0)):
                    self.now += 0.01
                    self.deliver(answer)
        self.now = until

    def deliver(self, payload: bytes) -> None:
        self.tester.receive(BusFrame(0x7E8, isotp_frames.single(payload)), self.now)

    def requests(self) -> list[float]:
        return [time for time, frame in self.sent if frame.data[1:3] != TESTER_PRESENT]


def asking(results: list[object], *, functional: bool = False) -> Script:
    try:
        results.append((yield from ask(REQUEST, functional=functional, after_s=(0.03, 0.03))))
    except (NegativeResponse, NoAnswer) as failure:
        results.append(failure)


def test_a_positive_response_is_sent_to_the_script() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results), b"\x62\xf1\x90V")
    line.run()
    assert results == [b"\x62\xf1\x90V"]
    assert [(time, frame.arbitration_id) for time, frame in line.sent] == [(0.03, 0x7E0)]
    assert line.tester.idle
    assert line.tester.due == float("inf")
    assert line.steps == [0.0, 0.04]


def test_a_request_to_all_has_the_functional_id() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results, functional=True), b"\x62\xf1\x90V")
    line.run()
    assert [frame.arbitration_id for _, frame in line.sent] == [0x7DF]
    assert results == [b"\x62\xf1\x90V"]


def test_a_negative_response_is_raised_in_the_script() -> None:
    results: list[object] = []
    ScriptLine(asking(results), b"\x7f\x22\x31").run()
    [failure] = results
    assert isinstance(failure, NegativeResponse)
    assert failure.nrc == Nrc.REQUEST_OUT_OF_RANGE


def test_responses_to_other_requests_are_ignored() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results))
    line.run(0.05)
    for stray in (b"\x50\x03", b"\x7f\x10\x22", b"\x7f\x22", b"\x62\xf1\x90V"):
        line.deliver(stray)
    assert results == [b"\x62\xf1\x90V"]
    line.deliver(b"\x62\xf1\x90W")
    assert len(results) == 1


def test_a_request_is_repeated_while_the_ecu_is_busy() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results), *[b"\x7f\x22\x21"] * 3, b"\x62\xf1\x90V")
    line.run()
    assert results == [b"\x62\xf1\x90V"]
    times = line.requests()
    assert len(times) == 4
    assert all(0.1 <= after - before - 0.01 <= 0.2 for before, after in itertools.pairwise(times))


def test_busy_is_raised_in_the_script_after_too_many_repetitions() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results), *[b"\x7f\x22\x21"] * 99)
    line.run()
    [failure] = results
    assert isinstance(failure, NegativeResponse)
    assert len(line.sent) == MAX_BUSY + 1


def test_a_request_without_response_is_repeated_then_given_up() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results))
    line.run()
    assert [type(result) for result in results] == [NoAnswer]
    times = line.requests()
    assert len(times) == MAX_REPEATS + 1
    assert times[1] - times[0] >= P2_S + NETWORK_S


def test_response_pending_prolongs_the_wait() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results), b"\x7f\x22\x78")
    line.run(4)
    assert results == []
    line.deliver(b"\x7f\x22\x78")
    line.run(4)
    line.deliver(b"\x62\xf1\x90V")
    assert results == [b"\x62\xf1\x90V"]
    assert len(line.sent) == 1


def test_the_request_is_repeated_if_response_pending_takes_too_long() -> None:
    line = ScriptLine(asking([]), b"\x7f\x22\x78")
    line.run(P2_STAR_S + 0.5)
    assert len(line.sent) == 2


def test_the_tester_waits_for_the_rest_of_a_response() -> None:
    results: list[object] = []
    line = ScriptLine(asking(results))
    line.run(0.1)
    response = b"\x62\xf1\x90" + bytes(17)
    line.tester.receive(BusFrame(0x7E8, isotp_frames.first(response, 8)), line.now)
    line.run(0.9)
    for number in (1, 2):
        part = response[6 + 7 * (number - 1) :][:7]
        line.tester.receive(BusFrame(0x7E8, isotp_frames.consecutive(number, part)), line.now)
    assert results == [response]
    assert [frame.data[0] for _, frame in line.sent] == [0x03, 0x30]


def test_the_request_is_repeated_if_its_response_breaks_off() -> None:
    line = ScriptLine(asking([]))
    line.run(0.1)
    line.tester.receive(BusFrame(0x7E8, isotp_frames.first(b"\x62\xf1\x90" + bytes(17), 8)), line.now)
    line.run(3)
    assert [frame.data[0] for _, frame in line.sent][:3] == [0x03, 0x30, 0x03]


def test_a_request_without_flow_control_is_repeated() -> None:
    results: list[object] = []

    def script() -> Script:
        try:
            yield from ask(bytes(20))
        except NoAnswer as failure:
            results.append(failure)

    line = ScriptLine(script())
    line.run()
    assert [frame.data[0] for _, frame in line.sent] == [0x10] * (MAX_REPEATS + 1)
    assert [type(result) for result in results] == [NoAnswer]
    # It waits for flow control (N_Bs of ISO 15765-2), not for a response: the request is not sent as a whole.
    waits = [after - before for before, after in itertools.pairwise(line.requests())]
    assert all(wait >= isotp_endpoint.TIMEOUT_S for wait in waits)


def test_tester_present_is_sent_while_the_script_keeps_the_session_alive() -> None:
    def script() -> Script:
        yield KeepAlive(on=True)
        yield Pause((7.0, 7.0))
        yield KeepAlive(on=False)
        yield Pause((7.0, 7.0))

    line = ScriptLine(script())
    line.run()
    assert [time for time, _ in line.sent] == [S3_CLIENT_S, 2 * S3_CLIENT_S, 3 * S3_CLIENT_S]
    assert {(frame.arbitration_id, frame.data) for _, frame in line.sent} == {
        (0x7DF, isotp_frames.single(TESTER_PRESENT))
    }


@pytest.mark.parametrize(
    ("answer", "result"), [(b"\x62\xf1\x90V", b"\x62\xf1\x90V"), (b"\x7f\x22\x31", None)]
)
def test_try_request_returns_none_for_an_expected_refusal(answer: bytes, result: bytes | None) -> None:
    results: list[bytes | None] = []

    def script() -> Script:
        results.append((yield from try_request(REQUEST, Nrc.REQUEST_OUT_OF_RANGE)))

    ScriptLine(script(), answer).run()
    assert results == [result]


def test_an_unexpected_refusal_is_raised() -> None:
    def script() -> Script:
        yield from try_request(REQUEST, Nrc.REQUEST_OUT_OF_RANGE)

    with pytest.raises(NegativeResponse, match="0x22 answered with 0x33"):
        ScriptLine(script(), b"\x7f\x22\x33").run()
