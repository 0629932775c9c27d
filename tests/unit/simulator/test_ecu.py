"""Timing of the ECU's responses: P2, "response pending", resets (ISO 14229-2)."""

from __future__ import annotations

import itertools
import random

import pytest

from cancorderd.simulator import ecu, isotp_frames, routines
from cancorderd.simulator.ecu import Addresses, Ecu
from cancorderd.simulator.simulated_bus import BusFrame
from cancorderd.simulator.uds import P2_S, P2_STAR_S, Routine
from tests.unit.simulator.server_bench import ERASE, ServerBench

ADDRESSES = Addresses(0x7E0, 0x7E8, 0x7DF, 0)
START = 100.0


class EcuLine:
    """An ECU alone on a line on which frames take no time."""

    def __init__(self, seed: int = 1, state: str = "default") -> None:
        self.bench = ServerBench(seed=seed).become(state)
        self.now = self.bench.now
        self.ecu = Ecu(self.bench.server, ADDRESSES, ecu.profile(8), random.Random(seed))
        self.received: list[tuple[float, bytes]] = []

    def send(self, request: bytes, arbitration_id: int = 0x7E0) -> None:
        """Send a request in a single frame or, if it is longer, in a first and consecutive frames."""
        if len(request) <= 7:
            self.ecu.receive(BusFrame(arbitration_id, isotp_frames.single(request)), self.now)
            return
        self.ecu.receive(BusFrame(arbitration_id, isotp_frames.first(request, 8)), self.now)
        rest = request[6:]
        for number in range(-(-len(rest) // 7)):
            part = rest[7 * number : 7 * number + 7]
            self.ecu.receive(BusFrame(arbitration_id, isotp_frames.consecutive(number + 1, part)), self.now)

    def run(self, seconds: float) -> list[tuple[float, bytes]]:
        """Return the frames of the next `seconds`, with their times from now."""
        start, self.received = self.now, []
        self._collect(start)
        while (due := max(self.ecu.due, self.now)) <= start + seconds:
            self.now = due
            self.ecu.wake(due)
            self._collect(start)
        self.now = start + seconds
        return self.received

    def _collect(self, start: float) -> None:
        while self.ecu.outbox:
            frame = self.ecu.outbox.pop(0)
            assert frame.arbitration_id == 0x7E8
            self.ecu.sent(frame, self.now)
            self.received.append((self.now - start, frame.data))


def payloads(received: list[tuple[float, bytes]]) -> list[str]:
    return [data[1 : 1 + data[0]].hex(" ") for _, data in received if data[0] <= 7]


@pytest.mark.parametrize("seed", range(10))
def test_a_quick_response_is_sent_within_p2(seed: int) -> None:
    line = EcuLine(seed)
    line.send(b"\x10\x03")
    [(time, data)] = line.run(1)
    assert 0.010 <= time <= P2_S
    assert data[:3].hex(" ") == "06 50 03"


@pytest.mark.parametrize("seed", range(10))
def test_response_pending_is_sent_within_p2_and_then_within_p2_star(seed: int) -> None:
    line = EcuLine(seed, "unlocked")
    line.send(ERASE)
    received = [(time, data) for time, data in line.run(5) if data[0] >> 4 == 0]
    *pending, (end, _) = received
    assert payloads(received) == ["7f 31 78"] * len(pending) + ["71 01 ff 00 00"]
    times = [time for time, _ in received]
    assert times[0] <= P2_S
    assert all(after - before < P2_STAR_S for before, after in itertools.pairwise(times))
    assert 0.5 <= end <= 2.0


def test_further_response_pending_follows_at_0_3_p2_star_or_more(monkeypatch: pytest.MonkeyPatch) -> None:
    # No routine takes so long at present.
    monkeypatch.setitem(routines.LASTING_S, Routine.ERASE_MEMORY, (12.0, 12.0))
    for seed in range(10):
        line = EcuLine(seed, "unlocked")
        line.send(ERASE)
        times = [time for time, data in line.run(13) if data[1:4].hex(" ") == "7f 31 78"]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert len(gaps) >= 4
        assert all(0.3 * P2_STAR_S <= gap < P2_STAR_S for gap in gaps)


def test_a_request_during_a_slow_response_is_ignored_but_keeps_the_session() -> None:
    line = EcuLine(1, "unlocked")
    line.send(ERASE)
    assert payloads(line.run(0.1)) == ["7f 31 78"]
    line.send(b"\x22\xf1\x90")
    line.send(b"\x3e\x80", 0x7DF)
    assert set(payloads(line.run(5))) - {"7f 31 78"} == {"71 01 ff 00 00"}


def test_tester_present_to_all_gets_no_response_and_delays_no_response() -> None:
    line = EcuLine()
    line.send(b"\x3e\x80", 0x7DF)
    line.send(b"\x10\x03")
    assert payloads(line.run(1)) == ["50 03 00 32 01 f4"]


def test_a_suppressed_response_is_sent_after_response_pending() -> None:
    line = EcuLine(1, "programming")
    line.send(b"\x27\x91")
    received = payloads(line.run(1))
    assert received[0] == "7f 27 78"
    assert received[-1].startswith("67 11")


@pytest.mark.parametrize("request_", [b"\x11\x01", b"\x11\x81"])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_reset_the_ecu_ignores_requests_for_one_to_two_seconds(seed: int, request_: bytes) -> None:
    line = EcuLine(seed, "extended")
    line.send(request_)
    responses = payloads(line.run(0.05))
    assert responses == (["51 01"] if request_[1] == 1 else [])
    assert not line.ecu.transmitting
    line.now += 0.9
    line.send(b"\x3e\x00")
    assert line.run(0.01) == []
    assert 0.0 < line.ecu.due - line.now < 1.1
    line.run(1.1)
    assert line.ecu.transmitting
    line.send(b"\x28\x03\x01")
    assert payloads(line.run(1)) == ["7f 28 7f"]


def test_only_single_frames_are_accepted_as_requests_to_all() -> None:
    line = EcuLine()
    line.ecu.receive(BusFrame(0x7DF, isotp_frames.first(bytes(20), 8)), line.now)
    assert line.run(2) == []


def test_an_incomplete_request_is_discarded() -> None:
    line = EcuLine()
    line.ecu.receive(BusFrame(0x7E0, isotp_frames.first(ERASE, 8)), line.now)
    [(_, flow)] = line.run(2)
    assert flow[0] == 0x30
    line.ecu.receive(BusFrame(0x7E0, isotp_frames.consecutive(5, b"x")), line.now)
    line.send(b"\x3e\x00")
    assert payloads(line.run(1)) == ["7e 00"]


def test_a_response_without_flow_control_is_abandoned() -> None:
    line = EcuLine()
    line.send(b"\x22\xf1\x90")
    [(_, first)] = line.run(3)
    assert first[0] == 0x10
    line.send(b"\x3e\x00")
    assert payloads(line.run(1)) == ["7e 00"]


def test_no_response_is_sent_if_the_server_has_none() -> None:
    line = EcuLine()
    line.send(b"\x01\x0b", 0x7DF)
    assert line.run(1) == []
