"""The script of a reprogramming session, run directly against a server."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cancorderd.simulator import firmware_image
from cancorderd.simulator.reprogramming import MistakeRates, Reprogramming
from cancorderd.simulator.tester_script import KeepAlive, Pause, Request
from cancorderd.simulator.uds import DiagnosticSession
from tests.unit.simulator.server_bench import ServerBench

NEVER = MistakeRates(wrong_key_rate=0, conditions_rate=0, counter_rate=0, slip_rate=0)
FIRMWARE = firmware_image.build(700, "SW_V02.15.004", random.Random(1))


class Talk:
    """Run of a session's script against a server, with a log of requests and responses."""

    def __init__(
        self,
        mistake_rates: MistakeRates = NEVER,
        *,
        seed: int = 1,
        busy_rate: float = 0.0,
        error_rate: float = 0.0,
    ) -> None:
        self.bench = ServerBench(seed=seed, busy_rate=busy_rate, error_rate=error_rate)
        self.bench.faults.set_random_codes()
        self.log: list[tuple[str, str]] = []
        self.alive: list[bool] = []
        script = Reprogramming(FIRMWARE, mistake_rates, self.bench.vehicle, random.Random(seed)).script()
        response: bytes | None = None
        while True:
            try:
                step = script.send(response)  # type: ignore[arg-type]
            except StopIteration:
                return
            response = self._do(step)

    def _do(self, step: object) -> bytes:
        match step:
            case Request(request):
                response = self.bench.ask(request)
                self.log.append((request.hex(" "), response.hex(" ")))
                if request[0] == 0x11 and response[0] == 0x51:
                    self.bench.server.power_on()
                return response
            case Pause((shortest, _)):
                until = self.bench.now + shortest
                while self.alive[-1] and self.bench.now + 2 < until:
                    self.bench.now += 1.9
                    assert self.bench.ask("3e 80") == b""
                self.bench.now = until
            case KeepAlive(on):
                self.alive.append(on)
        return b""

    def refusals(self) -> list[str]:
        return [response for _, response in self.log if response.startswith("7f")]

    @property
    def version(self) -> str | None:
        return self.bench.flash.version


def test_a_session_without_mistakes_has_no_refusals() -> None:
    talk = Talk()
    assert talk.refusals() == []
    assert talk.version == "SW_V02.15.004"
    assert talk.bench.server.session is DiagnosticSession.DEFAULT
    assert talk.bench.faults.matching(0x2F) == []
    assert talk.alive[-1] is False
    phases = list(dict.fromkeys(request[:2] for request, _ in talk.log))
    assert phases == ["10", "22", "19", "31", "85", "28", "27", "2e", "34", "36", "37", "11", "3e", "14"]


@pytest.mark.parametrize("seed", range(5))
def test_every_slip_is_refused_and_corrected(seed: int) -> None:
    talk = Talk(MistakeRates(wrong_key_rate=0, conditions_rate=0, counter_rate=0, slip_rate=1), seed=seed)
    # Unknown identifier, early fingerprint, early key, too much memory to erase; then perhaps an early exit.
    assert talk.refusals()[:4] == ["7f 22 31", "7f 2e 33", "7f 27 24", "7f 31 31"]
    assert set(talk.refusals()[4:]) <= {"7f 37 24"}
    assert talk.version == "SW_V02.15.004"


def test_an_engine_that_is_on_is_switched_off_first() -> None:
    talk = Talk(MistakeRates(wrong_key_rate=0, conditions_rate=1, counter_rate=0, slip_rate=0))
    assert set(talk.refusals()) == {"7f 31 22"}
    assert talk.version == "SW_V02.15.004"


def test_a_wrong_counter_is_corrected() -> None:
    talk = Talk(MistakeRates(wrong_key_rate=0, conditions_rate=0, counter_rate=1, slip_rate=0))
    blocks = -(-len(FIRMWARE) // 64)
    assert talk.refusals() == ["7f 36 73"] * blocks
    assert talk.version == "SW_V02.15.004"


@pytest.mark.parametrize("seed", range(10))
def test_blocks_are_repeated_and_downloads_resumed(seed: int) -> None:
    talk = Talk(error_rate=0.3, seed=seed)
    assert set(talk.refusals()) <= {"7f 36 71", "7f 36 72"}
    assert talk.version == "SW_V02.15.004"
    resumed = sum(request.startswith("34") for request, _ in talk.log) - 1
    assert resumed == talk.refusals().count("7f 36 71")


def test_three_wrong_keys_lead_to_a_delay() -> None:
    mistake_rates = MistakeRates(wrong_key_rate=0.8, conditions_rate=0, counter_rate=0, slip_rate=0)
    talk = next(
        talk
        for seed in range(99)
        if (talk := Talk(mistake_rates, seed=seed)).version and "7f 27 36" in talk.refusals()
    )
    assert talk.refusals() == ["7f 27 35", "7f 27 35", "7f 27 36", "7f 27 37", *talk.refusals()[4:]]


@pytest.mark.parametrize(
    ("mistake_rates", "busy_rate", "error_rate", "refusal"),
    [
        (MistakeRates(1, 0, 0, 0), 0.0, 0.0, "7f 27"),
        (NEVER, 0.0, 1.0, "7f 36"),
        (NEVER, 1.0, 0.0, "7f 10 21"),
    ],
)
def test_a_hopeless_session_ends_with_a_reset(
    mistake_rates: MistakeRates, busy_rate: float, error_rate: float, refusal: str
) -> None:
    talk = Talk(mistake_rates, busy_rate=busy_rate, error_rate=error_rate)
    assert talk.refusals()
    assert all(response.startswith(("7f 11 21", refusal)) for response in talk.refusals())
    assert talk.log[-1][0] == "11 01"
    assert talk.version is None
    assert talk.alive[-1] is False


class Steps(Talk):
    """A talk with all steps of the script: requests by their first bytes, and pauses with the response before."""

    def __init__(self, mistake_rates: MistakeRates = NEVER, **keys: Any) -> None:
        self.before: dict[str, set[tuple[float, float]]] = {}
        self.pauses: list[tuple[str, tuple[float, float]]] = []
        self._last = ""
        super().__init__(mistake_rates, **keys)

    def _do(self, step: object) -> bytes:
        response = super()._do(step)
        match step:
            case Request(payload, _, after_s):
                length = 2 if payload[0] in (0x19, 0x27) else 1
                self.before.setdefault(payload[:length].hex(" "), set()).add(after_s)
                self._last = response[:3].hex(" ")
            case Pause(span_s):
                self.pauses.append((self._last, span_s))
        return response


def test_the_tester_takes_its_time_before_each_request() -> None:
    usual = {(0.020, 0.050)}
    assert Steps().before == {
        **dict.fromkeys(["10", "31", "85", "28", "2e", "34", "37", "11", "3e", "14"], usual),
        **dict.fromkeys(["19 02", "19 0a", "19 04", "27 11"], usual),
        "22": {(0.030, 0.080), (0.020, 0.050)},  # identification, and the version after the reset
        "19 01": {(0.030, 0.060)},
        "27 12": {(0.050, 0.100)},
        "36": {(0.015, 0.030)},
    }


@pytest.mark.parametrize(
    ("mistake_rates", "after", "span_s"),
    [
        (NEVER, "51 01", (2.1, 2.5)),
        (MistakeRates(0, 1, 0, 0), "7f 31 22", (0.3, 0.6)),
        (MistakeRates(1, 0, 0, 0), "7f 27 35", (0.5, 1.0)),
        (MistakeRates(1, 0, 0, 0), "7f 27 37", (10.0, 10.5)),
    ],
)
def test_the_tester_pauses_after_a_reset_and_after_refusals(
    mistake_rates: MistakeRates, after: str, span_s: tuple[float, float]
) -> None:
    found = {span for response, span in Steps(mistake_rates).pauses if response.startswith(after)}
    assert found == {span_s}


@pytest.mark.parametrize(
    ("mistake_rates", "keys", "request_", "times"),
    [
        (MistakeRates(1, 0, 0, 0), {}, "27 11", 8),
        (NEVER, {"error_rate": 1.0}, "36 01", 5),
    ],
)
def test_the_tester_gives_up_after_so_many_refusals(
    mistake_rates: MistakeRates, keys: dict[str, Any], request_: str, times: int
) -> None:
    most = 0
    for seed in range(10):
        talk = Talk(mistake_rates, seed=seed, **keys)
        most = max(most, sum(request.startswith(request_) for request, _ in talk.log))
    assert most >= times
    assert talk.version is None
