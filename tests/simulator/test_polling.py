"""The OBD-II scan tool's script, against a server without bus or time."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator.polling import PIDS, Polling
from cancorderd.simulator.script import Ask, Pause
from tests.simulator.bench import Bench


def poll(seed: int, cycles: int | None = None) -> tuple[Bench, list[tuple[Ask, bytes]], int]:
    """Requests with their responses, and how many cycles there were. It is hurried after `cycles`."""
    bench = Bench(seed=seed)
    bench.vehicle.drive()
    log: list[tuple[Ask, bytes]] = []
    done = 0
    script = Polling(bench.vehicle, bench.faults, random.Random(seed), lambda: done == cycles).script()
    response: bytes | None = None
    while True:
        try:
            step = script.send(response)  # type: ignore[arg-type]
        except StopIteration:
            return bench, log, done
        match step:
            case Ask(request, functional):
                response = bench.ask(request, functional=functional)
                log.append((step, response))
            case Pause():
                done, response = done + 1, b""


@pytest.mark.parametrize("seed", range(10))
def test_every_request_is_answered(seed: int) -> None:
    _, log, cycles = poll(seed)
    assert 15 <= cycles <= 30
    for ask, response in log:
        refused = ask.request == b"\x04" and response == b"\x7f\x04\x22"
        assert refused or response[0] == ask.request[0] + 0x40


def test_all_parameters_are_asked_for_most_of_all_ecus() -> None:
    live = [
        ask for seed in range(5) for ask, _ in poll(seed)[1] if ask.request[0] == 1 and ask.request[1] % 0x20
    ]
    assert {pid for ask in live for pid in ask.request[1:]} == set(PIDS)
    assert 0.7 < sum(ask.functional for ask in live) / len(live) < 0.9
    assert {2, 4} < {len(ask.request) for ask in live} <= {2, 4, 5, 6, 7}


def test_it_begins_with_what_there_is() -> None:
    first = [ask.request.hex(" ") for ask, _ in poll(1)[1]][:5]
    assert first == ["01 00", "01 20", "01 40", "03", "09 02"]


def test_codes_come_up_on_the_way_and_are_read() -> None:
    for seed in range(20):
        bench, log, _ = poll(seed)
        if any(ask.request == b"\x04" for ask, _ in log):
            continue  # cleared again
        assert len(bench.faults.matching(0x20)) >= 3
        stored = [response for ask, response in log if ask.request == b"\x03"]
        assert stored[0] == b"\x43\x00"
        assert len(stored) >= 2


def test_it_ends_early_when_a_session_is_wanted() -> None:
    bench, log, cycles = poll(1, cycles=2)
    assert cycles == 2
    assert log[-1][0].request[0] == 1
    assert len(bench.faults.matching(0x20)) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_clearing_is_refused_while_the_engine_is_on(seed: int) -> None:
    bench, log, _ = poll(seed)
    for ask, response in log:
        if ask.request == b"\x04":
            assert response == (b"\x7f\x04\x22" if bench.vehicle.engine_on else b"\x44")
