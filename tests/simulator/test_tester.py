"""How the tester asks: waiting, repeating, giving up, keeping a session alive (ISO 14229-2)."""

from __future__ import annotations

import itertools
import random

import pytest

from cancorderd.simulator import isotp, tester
from cancorderd.simulator.bus import BusFrame
from cancorderd.simulator.ecu import Addresses
from cancorderd.simulator.script import KeepAlive, Negative, NoAnswer, Pause, Script, ask, try_out
from cancorderd.simulator.tester import MAX_BUSY, MAX_REPEATS, NETWORK_S, STILL_HERE
from cancorderd.simulator.uds import P2_S, P2_STAR_S, S3_CLIENT_S, Nrc

ADDRESSES = Addresses(0x7E0, 0x7E8, 0x7DF, 0)
REQUEST = b"\x22\xf1\x90"


class Line:
    """A tester, and answers by hand: one for each request, 10 ms after it; None is silence."""

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
                if frame.data[1:3] != STILL_HERE and self._answers and (answer := self._answers.pop(0)):
                    self.now += 0.01
                    self.hear(answer)
        self.now = until

    def hear(self, payload: bytes) -> None:
        self.tester.receive(BusFrame(0x7E8, isotp.single(payload)), self.now)

    def requests(self) -> list[float]:
        return [at for at, frame in self.sent if frame.data[1:3] != STILL_HERE]


def asking(results: list[object], *, functional: bool = False) -> Script:
    try:
        results.append((yield from ask(REQUEST, functional=functional, after_s=(0.03, 0.03))))
    except (Negative, NoAnswer) as failure:
        results.append(failure)


def test_a_positive_response_goes_to_the_script() -> None:
    results: list[object] = []
    line = Line(asking(results), b"\x62\xf1\x90V")
    line.run()
    assert results == [b"\x62\xf1\x90V"]
    assert [(at, frame.arbitration_id) for at, frame in line.sent] == [(0.03, 0x7E0)]
    assert line.tester.idle
    assert line.tester.due == float("inf")
    assert line.steps == [0.0, 0.04]


def test_a_request_to_all_has_their_id() -> None:
    results: list[object] = []
    line = Line(asking(results, functional=True), b"\x62\xf1\x90V")
    line.run()
    assert [frame.arbitration_id for _, frame in line.sent] == [0x7DF]
    assert results == [b"\x62\xf1\x90V"]


def test_a_negative_response_is_raised_in_the_script() -> None:
    results: list[object] = []
    Line(asking(results), b"\x7f\x22\x31").run()
    [failure] = results
    assert isinstance(failure, Negative)
    assert failure.nrc == Nrc.REQUEST_OUT_OF_RANGE


def test_what_is_no_answer_to_the_request_is_ignored() -> None:
    results: list[object] = []
    line = Line(asking(results))
    line.run(0.05)
    for stray in (b"\x50\x03", b"\x7f\x10\x22", b"\x7f\x22", b"\x62\xf1\x90V"):
        line.hear(stray)
    assert results == [b"\x62\xf1\x90V"]
    line.hear(b"\x62\xf1\x90W")
    assert len(results) == 1


def test_busy_is_asked_again_until_it_is_not() -> None:
    results: list[object] = []
    line = Line(asking(results), *[b"\x7f\x22\x21"] * 3, b"\x62\xf1\x90V")
    line.run()
    assert results == [b"\x62\xf1\x90V"]
    times = line.requests()
    assert len(times) == 4
    assert all(0.1 <= after - before - 0.01 <= 0.2 for before, after in itertools.pairwise(times))


def test_busy_for_ever_is_given_to_the_script() -> None:
    results: list[object] = []
    line = Line(asking(results), *[b"\x7f\x22\x21"] * 99)
    line.run()
    [failure] = results
    assert isinstance(failure, Negative)
    assert len(line.sent) == MAX_BUSY + 1


def test_silence_is_asked_again_and_given_up() -> None:
    results: list[object] = []
    line = Line(asking(results))
    line.run()
    assert [type(result) for result in results] == [NoAnswer]
    times = line.requests()
    assert len(times) == MAX_REPEATS + 1
    assert times[1] - times[0] >= P2_S + NETWORK_S


def test_response_pending_prolongs_the_wait() -> None:
    results: list[object] = []
    line = Line(asking(results), b"\x7f\x22\x78")
    line.run(4)
    assert results == []
    line.hear(b"\x7f\x22\x78")
    line.run(4)
    line.hear(b"\x62\xf1\x90V")
    assert results == [b"\x62\xf1\x90V"]
    assert len(line.sent) == 1


def test_response_pending_for_too_long_is_asked_again() -> None:
    line = Line(asking([]), b"\x7f\x22\x78")
    line.run(P2_STAR_S + 0.5)
    assert len(line.sent) == 2


def test_a_response_that_has_begun_is_waited_for() -> None:
    results: list[object] = []
    line = Line(asking(results))
    line.run(0.1)
    response = b"\x62\xf1\x90" + bytes(17)
    line.tester.receive(BusFrame(0x7E8, isotp.first(response, 8)), line.now)
    line.run(0.9)
    for number in (1, 2):
        part = response[6 + 7 * (number - 1) :][:7]
        line.tester.receive(BusFrame(0x7E8, isotp.consecutive(number, part)), line.now)
    assert results == [response]
    assert [frame.data[0] for _, frame in line.sent] == [0x03, 0x30]


def test_a_response_that_breaks_off_is_asked_for_again() -> None:
    line = Line(asking([]))
    line.run(0.1)
    line.tester.receive(BusFrame(0x7E8, isotp.first(b"\x62\xf1\x90" + bytes(17), 8)), line.now)
    line.run(3)
    assert [frame.data[0] for _, frame in line.sent][:3] == [0x03, 0x30, 0x03]


def test_a_request_that_nobody_takes_is_repeated() -> None:
    results: list[object] = []

    def script() -> Script:
        try:
            yield from ask(bytes(20))
        except NoAnswer as failure:
            results.append(failure)

    line = Line(script())
    line.run()
    assert [frame.data[0] for _, frame in line.sent] == [0x10] * (MAX_REPEATS + 1)
    assert [type(result) for result in results] == [NoAnswer]


def test_a_session_is_kept_alive_while_the_script_wants_it() -> None:
    def script() -> Script:
        yield KeepAlive(on=True)
        yield Pause((7.0, 7.0))
        yield KeepAlive(on=False)
        yield Pause((7.0, 7.0))

    line = Line(script())
    line.run()
    assert [at for at, _ in line.sent] == [S3_CLIENT_S, 2 * S3_CLIENT_S, 3 * S3_CLIENT_S]
    assert {(frame.arbitration_id, frame.data) for _, frame in line.sent} == {
        (0x7DF, isotp.single(STILL_HERE))
    }


@pytest.mark.parametrize(
    ("answer", "result"), [(b"\x62\xf1\x90V", b"\x62\xf1\x90V"), (b"\x7f\x22\x31", None)]
)
def test_try_out_takes_the_refusal_that_it_expects(answer: bytes, result: bytes | None) -> None:
    results: list[bytes | None] = []

    def script() -> Script:
        results.append((yield from try_out(REQUEST, Nrc.REQUEST_OUT_OF_RANGE)))

    Line(script(), answer).run()
    assert results == [result]


def test_a_refusal_that_nobody_expects_ends_the_script_loudly() -> None:
    def script() -> Script:
        yield from try_out(REQUEST, Nrc.REQUEST_OUT_OF_RANGE)

    with pytest.raises(Negative, match="0x22 answered with 0x33"):
        Line(script(), b"\x7f\x22\x33").run()
