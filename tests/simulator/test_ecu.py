"""When the ECU's answers go out: P2, "response pending", resets (ISO 14229-2)."""

from __future__ import annotations

import itertools
import random

import pytest

from cancorderd.simulator import ecu, isotp
from cancorderd.simulator.bus import BusFrame
from cancorderd.simulator.ecu import Addresses, Ecu
from cancorderd.simulator.uds import P2_S, P2_STAR_S
from tests.simulator.bench import ERASE, Bench

ADDRESSES = Addresses(0x7E0, 0x7E8, 0x7DF, 0)
START = 100.0


class Line:
    """An ECU on a line without anybody else: frames take no time."""

    def __init__(self, seed: int = 1, state: str = "default") -> None:
        self.bench = Bench(seed=seed).become(state)
        self.now = self.bench.now
        self.ecu = Ecu(self.bench.server, ADDRESSES, ecu.profile(8), random.Random(seed))
        self.heard: list[tuple[float, bytes]] = []

    def send(self, request: bytes, arbitration_id: int = 0x7E0) -> None:
        """A request in a single frame, or one whose frames go out as the ECU asks."""
        if len(request) <= 7:
            self.ecu.receive(BusFrame(arbitration_id, isotp.single(request)), self.now)
            return
        self.ecu.receive(BusFrame(arbitration_id, isotp.first(request, 8)), self.now)
        rest = request[6:]
        for number in range(-(-len(rest) // 7)):
            part = rest[7 * number : 7 * number + 7]
            self.ecu.receive(BusFrame(arbitration_id, isotp.consecutive(number + 1, part)), self.now)

    def run(self, seconds: float) -> list[tuple[float, bytes]]:
        """Frames, and when they came, counted from now."""
        start, self.heard = self.now, []
        self._hear(start)
        while (due := max(self.ecu.due, self.now)) <= start + seconds:
            self.now = due
            self.ecu.wake(due)
            self._hear(start)
        self.now = start + seconds
        return self.heard

    def _hear(self, start: float) -> None:
        while self.ecu.outbox:
            frame = self.ecu.outbox.pop(0)
            assert frame.arbitration_id == 0x7E8
            self.ecu.sent(frame, self.now)
            self.heard.append((self.now - start, frame.data))


def payloads(heard: list[tuple[float, bytes]]) -> list[str]:
    return [data[1 : 1 + data[0]].hex(" ") for _, data in heard if data[0] <= 7]


@pytest.mark.parametrize("seed", range(10))
def test_a_quick_answer_comes_within_p2(seed: int) -> None:
    line = Line(seed)
    line.send(b"\x10\x03")
    [(at, data)] = line.run(1)
    assert 0.010 <= at <= P2_S
    assert data[:3].hex(" ") == "06 50 03"


@pytest.mark.parametrize("seed", range(10))
def test_a_slow_answer_is_announced_within_p2_and_again_within_p2_star(seed: int) -> None:
    line = Line(seed, "unlocked")
    line.send(ERASE)
    heard = [(at, data) for at, data in line.run(5) if data[0] >> 4 == 0]
    *pending, (end, _) = heard
    assert payloads(heard) == ["7f 31 78"] * len(pending) + ["71 01 ff 00 00"]
    times = [at for at, _ in heard]
    assert times[0] <= P2_S
    assert all(after - before < P2_STAR_S for before, after in itertools.pairwise(times))
    assert 0.5 <= end <= 2.0


def test_a_request_meanwhile_gets_no_answer_but_keeps_the_session() -> None:
    line = Line(1, "unlocked")
    line.send(ERASE)
    line.run(0.1)
    line.send(b"\x22\xf1\x90")
    line.send(b"\x3e\x80", 0x7DF)
    assert set(payloads(line.run(5))) == {"7f 31 78", "71 01 ff 00 00"}


def test_tester_present_to_all_gets_no_answer_and_delays_none() -> None:
    line = Line()
    line.send(b"\x3e\x80", 0x7DF)
    line.send(b"\x10\x03")
    assert payloads(line.run(1)) == ["50 03 00 32 01 f4"]


def test_a_suppressed_answer_that_was_announced_is_told() -> None:
    line = Line(1, "programming")
    line.send(b"\x27\x91")
    heard = payloads(line.run(1))
    assert heard[0] == "7f 27 78"
    assert heard[-1].startswith("67 11")


@pytest.mark.parametrize("request_", [b"\x11\x01", b"\x11\x81"])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_reset_it_is_deaf_for_one_to_two_seconds(seed: int, request_: bytes) -> None:
    line = Line(seed, "extended")
    line.send(request_)
    answered = payloads(line.run(0.05))
    assert answered == (["51 01"] if request_[1] == 1 else [])
    assert not line.ecu.talking
    line.now += 0.9
    line.send(b"\x3e\x00")
    assert line.run(0.01) == []
    assert 0.0 < line.ecu.due - line.now < 1.1
    line.run(1.1)
    assert line.ecu.talking
    line.send(b"\x28\x03\x01")
    assert payloads(line.run(1)) == ["7f 28 7f"]


def test_only_single_frames_are_taken_from_requests_to_all() -> None:
    line = Line()
    line.ecu.receive(BusFrame(0x7DF, isotp.first(bytes(20), 8)), line.now)
    assert line.run(2) == []


def test_a_request_that_breaks_off_is_forgotten() -> None:
    line = Line()
    line.ecu.receive(BusFrame(0x7E0, isotp.first(ERASE, 8)), line.now)
    [(_, flow)] = line.run(2)
    assert flow[0] == 0x30
    line.ecu.receive(BusFrame(0x7E0, isotp.consecutive(5, b"x")), line.now)
    line.send(b"\x3e\x00")
    assert payloads(line.run(1)) == ["7e 00"]


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    line = Line()
    line.send(b"\x22\xf1\x90")
    [(_, first)] = line.run(3)
    assert first[0] == 0x10
    line.send(b"\x3e\x00")
    assert payloads(line.run(1)) == ["7e 00"]


def test_it_says_nothing_where_silence_is_the_answer() -> None:
    line = Line()
    line.send(b"\x01\x0b", 0x7DF)
    assert line.run(1) == []
