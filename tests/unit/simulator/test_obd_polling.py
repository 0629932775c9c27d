"""The script of the OBD-II scan tool, run directly against a server."""

from __future__ import annotations

import contextlib
import functools
import random
import re

import pytest

from cancorderd.simulator.narration import Narration
from cancorderd.simulator.obd_polling import PIDS, ObdPolling
from cancorderd.simulator.tester_script import Pause, Request
from tests.unit.simulator.server_bench import ServerBench


def poll(seed: int, cycles: int | None = None) -> tuple[ServerBench, list[tuple[Request, bytes]], int]:
    """Poll, hurried after `cycles`. Return the bench, requests with their responses, and the number of cycles."""
    bench = ServerBench(seed=seed)
    bench.vehicle.drive()
    log: list[tuple[Request, bytes]] = []
    done = 0
    script = ObdPolling(bench.vehicle, bench.faults, random.Random(seed), lambda: done == cycles).script()
    response: bytes | None = None
    while True:
        try:
            step = script.send(response)  # type: ignore[arg-type]
        except StopIteration:
            return bench, log, done
        match step:
            case Request(payload, functional):
                response = bench.ask(payload, functional=functional)
                log.append((step, response))
            case Pause():
                done, response = done + 1, b""


@pytest.mark.parametrize("seed", range(10))
def test_every_request_is_answered(seed: int) -> None:
    _, log, cycles = poll(seed)
    assert 15 <= cycles <= 30
    for request, response in log:
        refused = request.payload == b"\x04" and response == b"\x7f\x04\x22"
        assert refused or response[0] == request.payload[0] + 0x40


def test_all_parameters_are_requested_mostly_from_all_ecus() -> None:
    live = [
        request
        for seed in range(5)
        for request, _ in poll(seed)[1]
        if request.payload[0] == 1 and request.payload[1] % 0x20
    ]
    assert {pid for request in live for pid in request.payload[1:]} == set(PIDS)
    assert 0.7 < sum(request.functional for request in live) / len(live) < 0.9
    assert {2, 4} < {len(request.payload) for request in live} <= {2, 4, 5, 6, 7}


def test_polling_begins_with_bitmaps_codes_and_vin() -> None:
    first = [request.payload.hex(" ") for request, _ in poll(1)[1]][:5]
    assert first == ["01 00", "01 20", "01 40", "03", "09 02"]


def test_codes_appear_during_the_drive_and_are_read() -> None:
    for seed in range(20):
        bench, log, _ = poll(seed)
        if any(request.payload == b"\x04" for request, _ in log):
            continue  # the codes were cleared at the end
        assert len(bench.faults.matching(0x20)) >= 3
        stored = [response for request, response in log if request.payload == b"\x03"]
        assert stored[0] == b"\x43\x00"
        assert len(stored) >= 2


def test_polling_ends_early_when_a_session_is_requested() -> None:
    bench, log, cycles = poll(1, cycles=2)
    assert cycles == 2
    assert log[-1][0].payload[0] == 1
    assert len(bench.faults.matching(0x20)) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_clearing_is_refused_while_the_engine_is_on(seed: int) -> None:
    bench, log, _ = poll(seed)
    for request, response in log:
        if request.payload == b"\x04":
            assert response == (b"\x7f\x04\x22" if bench.vehicle.engine_on else b"\x44")


@functools.cache
def rounds() -> list[tuple[list[Request], int]]:
    """Return the requests of many rounds, and the number of cycles of each."""
    return [([request for request, _ in log], cycles) for _, log, cycles in map(poll, range(60))]


def share(payload: bytes, at_first: int) -> float:
    """Return how often in a cycle a request is sent, apart from `at_first` times in each round."""
    requests = sum(request.payload == payload for log, _ in rounds() for request in log)
    return (requests - at_first * len(rounds())) / sum(cycles for _, cycles in rounds())


def test_codes_and_bitmaps_are_requested_now_and_then() -> None:
    assert 0.02 < share(b"\x01\x00", 1) < 0.09
    assert 0.05 < share(b"\x03", 2) < 0.15
    assert 0.02 < share(b"\x07", 0) < 0.09
    assert share(b"\x09\x02", 1) == 0


def test_codes_are_cleared_at_the_end_of_one_round_in_five_at_all_ecus() -> None:
    clearing = [request for log, _ in rounds() for request in log if request.payload == b"\x04"]
    assert 3 <= len(clearing) <= 24
    assert all(request.functional for request in clearing)


@pytest.mark.parametrize(
    ("hurried", "last"),
    [
        (False, "emission-related trouble codes are stored; the car stops"),
        (True, "OBD-II polling: ends early: another session is requested"),
    ],
)
def test_a_round_says_what_it_does_and_whether_it_ends_early(hurried: bool, last: str) -> None:
    bench, narration = ServerBench(seed=1), Narration()
    bench.vehicle.drive()
    script = ObdPolling(bench.vehicle, bench.faults, random.Random(3), lambda: hurried, narration).script()
    response: bytes | None = None
    with contextlib.suppress(StopIteration):
        while True:
            step = script.send(response)  # type: ignore[arg-type]
            response = b""
            if isinstance(step, Request):
                response = bench.ask(step.payload, functional=step.functional)
    texts = [text for _, text in narration.take(0.0)]
    assert texts[0] == "OBD-II polling: starts"
    assert re.fullmatch(r"OBD-II polling: \d+ cycles", texts[1])
    assert any(text.endswith(last) for text in texts)
