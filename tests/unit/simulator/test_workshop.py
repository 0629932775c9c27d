"""The workshop's script: sessions and drives in turn, run directly against a server."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cancorderd.simulator.narration import Narration
from cancorderd.simulator.options import Options
from cancorderd.simulator.tester_script import NoAnswer, Pause, Request
from cancorderd.simulator.workshop import BREAK_S, Workshop
from tests.unit.simulator.server_bench import ServerBench

SESSION_BEGIN = bytes.fromhex("10 03")
DOWNLOAD = 0x34
NEVER = {
    "busy_rate": 0, "conditions_rate": 0, "wrong_key_rate": 0, "transfer_error_rate": 0, "slip_rate": 0,
}  # fmt: skip


class Day:
    """A day at the workshop, step by step."""

    def __init__(self, seed: int = 1, **keys: Any) -> None:
        self.bench = ServerBench(seed=seed)
        self.narration = Narration()
        options = Options(**{"image_size": 500, **NEVER, **keys})
        self.workshop = Workshop(
            options, self.bench.vehicle, self.bench.faults, random.Random(seed), self.narration
        )
        self.script = self.workshop.script()
        self.step: object = next(self.script)

    def answer(self) -> bytes:
        """Do the current step, and return the response to it."""
        match self.step:
            case Request(payload, functional):
                response = self.bench.ask(payload, functional=functional)
                if payload[0] == 0x11:
                    self.bench.server.power_on()
            case _:
                response = b""
        self.step = self.script.send(response)
        return response

    def go_to(self, request: bytes | int) -> bytes:
        """Go on until a request, given by its bytes or by its service, and return it."""
        while True:
            match self.step:
                case Request(payload) if request in (payload, payload[0]):
                    return payload
            self.answer()

    def end(self) -> None:
        """Go on until the script ends."""
        with pytest.raises(StopIteration):
            while True:
                self.answer()

    def said(self) -> list[str]:
        return [sentence.text for sentence in self.narration.take(0.0) if sentence.level == "info"]


def test_without_loop_there_is_one_session_unless_another_is_requested() -> None:
    day = Day(loop=False)
    day.end()
    assert day.said() == [
        "UDS session #1: starts",
        "UDS session #1: is complete",
        "UDS session #1: the next begins when a client connects",
    ]
    day = Day(loop=False)
    day.answer()
    day.workshop.request_session()
    day.end()
    assert [text for text in day.said() if "starts" in text] == [
        "UDS session #1: starts",
        "UDS session #2: starts",
    ]


def test_the_ecu_is_delivered_with_version_3_and_every_session_brings_the_next() -> None:
    day = Day(loop=False)
    versions = []
    for _ in range(3):
        day.go_to(SESSION_BEGIN)
        day.workshop.request_session()
        day.go_to(bytes.fromhex("22 f1 95"))
        versions.append(day.answer()[3:].decode())
        day.go_to(bytes.fromhex("11 01"))
        day.go_to(SESSION_BEGIN)  # the verification
        day.answer()
    assert versions == ["SW_V02.15.003", "SW_V02.15.004", "SW_V02.15.005"]


def test_the_firmware_has_the_size_of_the_options_or_50_to_150_blocks_of_256_bytes() -> None:
    assert int.from_bytes(Day(image_size=777).go_to(DOWNLOAD)[-4:]) == 777
    sizes = [int.from_bytes(Day(seed, image_size=None).go_to(DOWNLOAD)[-4:]) for seed in range(20)]
    assert 12_800 <= min(sizes) < 20_000
    assert 30_000 < max(sizes) <= 38_400


def test_a_third_of_the_transfer_errors_are_the_testers() -> None:
    day = Day(loop=False, image_size=64 * 1_000, transfer_error_rate=0.3)
    blocks = wrong = 0
    day.go_to(0x36)
    while isinstance(day.step, Request) and day.step.payload[0] == 0x36:
        response = day.answer()
        blocks += response[0] == 0x76
        wrong += response == bytes.fromhex("7f 36 73")
    assert blocks == 1_000
    assert wrong == pytest.approx(100, abs=30)


@pytest.mark.parametrize(
    ("key", "refusal"),
    [("wrong_key_rate", "7f 27 35"), ("conditions_rate", "7f 31 22"), ("slip_rate", "7f 22 31")],
)
def test_mistakes_have_the_rates_of_the_options(key: str, refusal: str) -> None:
    refused = 0
    for seed in range(40):
        day = Day(seed, loop=False, **{key: 0.5})
        while not (isinstance(day.step, Request) and day.step.payload[0] == DOWNLOAD):
            if day.answer() == bytes.fromhex(refusal):
                refused += 1
                break
    assert refused == pytest.approx(20, abs=10)


def test_with_loop_the_car_is_driven_between_two_sessions_which_are_one_or_two_seconds_apart() -> None:
    day = Day()
    day.go_to(b"\x01\x00")  # supported parameters: the scan tool begins
    assert day.bench.vehicle.engine_on
    pauses = 0
    while not (isinstance(day.step, Request) and day.step.payload == SESSION_BEGIN):
        pauses += day.step == Pause(BREAK_S)
        day.answer()
    assert 1.0 <= pauses * BREAK_S[0] <= 2.0
    assert day.said()[-1] == "UDS session #2: starts"


def test_a_client_that_connects_during_the_drive_gets_a_session_without_a_break() -> None:
    day = Day()
    day.go_to(b"\x01\x00")
    day.workshop.request_session()
    while not (isinstance(day.step, Request) and day.step.payload == SESSION_BEGIN):
        assert day.step != Pause(BREAK_S)
        day.answer()


def test_a_scan_tool_without_an_answer_gives_up_and_the_car_is_parked() -> None:
    day = Day()
    day.go_to(b"\x01\x00")
    day.said()
    day.step = day.script.throw(NoAnswer("there is no response"))
    assert day.said() == ["OBD-II polling: given up: there is no response"]
    day.go_to(SESSION_BEGIN)
    day.bench.vehicle.advance(day.bench.now + 60)
    assert not day.bench.vehicle.engine_on
