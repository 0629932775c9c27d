"""The narration of a mock bus: sessions, phases and injected errors as sentences, bounded, without influence."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from cancorderd.simulator.narration import MOST_PER_S, MOST_WAITING, Narration, Sentence
from cancorderd.simulator.options import Options
from cancorderd.simulator.simulation import Simulation
from tests.unit.simulator.simulation_runs import EPOCH_US, START_S, frames_of

PHASES = [
    "identification",
    "trouble codes",
    "preconditions",
    "silence on the bus",
    "security access",
    "erasing",
    r"download of \d+ blocks",
    "check",
    "reset",
    "verification",
]


def narrated(seconds: float, **keys: Any) -> tuple[list[Sentence], Counter[int]]:
    """Return the sentences of a run, and how often each negative response code was sent by the ECU."""
    simulation = Simulation(Options(seed=4, start="always", **keys), START_S)
    now_s, sentences, codes = START_S, [], Counter[int]()
    while (due_s := simulation.due_s()) is not None and due_s < START_S + seconds:
        now_s = max(now_s, due_s)
        batch = simulation.advance(now_s, EPOCH_US + round((now_s - START_S) * 1e6))
        codes.update(
            frame.data[3]
            for frame in frames_of(batch)
            if frame.arbitration_id == 0x7E8 and frame.data[1] == 0x7F and frame.data[0] == 3
        )
        sentences += simulation.narration.take(now_s)
    return sentences, codes


def test_each_session_names_its_phases_in_order() -> None:
    sentences, _ = narrated(60, image_size=2_000, loop=False)
    assert sentences[0] == ("info", "UDS session #1: starts")
    phases = [text for level, text in sentences if level == "debug"]
    assert len(phases) == len(PHASES)
    for text, expected in zip(phases, PHASES, strict=True):
        assert re.fullmatch(f"UDS session #1: {expected}", text)
    assert [text for level, text in sentences if level == "info"][-2:] == [
        "UDS session #1: is complete",
        "UDS session #1: the next begins when a client connects",
    ]


def test_sessions_are_counted_and_polling_is_named() -> None:
    sentences, _ = narrated(40, image_size=1_000)
    texts = [text for _, text in sentences]
    starts = [text for text in texts if text.endswith("starts")]
    assert starts[:3] == ["UDS session #1: starts", "OBD-II polling: starts", "UDS session #2: starts"]


RATES = {
    "busy_rate": 0.1,
    "wrong_key_rate": 0.6,
    "transfer_error_rate": 0.05,
    "slip_rate": 1.0,
    "conditions_rate": 1.0,
}


def test_every_error_on_the_bus_was_announced_as_injected() -> None:
    sentences, codes = narrated(200, image_size=20_000, block_length=34, **RATES)
    injected = Counter(
        int(match[1], 16)
        for level, text in sentences
        if (match := re.search(r": injected: .*\(0x(\w\w)\)", text)) and level == "info"
    )
    assert set(codes) - {0x78} >= {0x21, 0x22, 0x24, 0x31, 0x33, 0x35, 0x71, 0x72, 0x73}
    # 0x36 and 0x37 follow from wrong keys, 0x22 is repeated until the engine is off.
    for code in (0x21, 0x24, 0x31, 0x33, 0x71, 0x72, 0x73):
        assert codes[code] == pytest.approx(injected[code], abs=1), hex(code)
    assert injected[0x35] == pytest.approx(codes[0x35] + codes[0x36], abs=1)
    assert 0 < injected[0x22] <= codes[0x22]


def test_frames_are_the_same_whether_or_not_the_narration_is_taken() -> None:
    def run(*, taken: bool) -> list[Any]:
        simulation = Simulation(Options(seed=2, speed=50, start="always", image_size=1_000), START_S)
        frames = []
        for step in range(200):
            now_s = START_S + step / 100
            frames += frames_of(simulation.advance(now_s, EPOCH_US))
            if taken:
                simulation.narration.take(now_s)
        return frames

    assert run(taken=True) == run(taken=False) != []


def test_a_fast_simulation_does_not_flood_the_log() -> None:
    sentences, _ = narrated(5, speed=1000, image_size=500)
    assert 100 < len(sentences) <= 6 * MOST_PER_S
    missing = [text for _, text in sentences if "are missing here" in text]
    assert 3 <= len(missing) <= 6
    assert re.fullmatch(r"\d+ sentences about the simulation are missing here", missing[0])


def test_sentences_that_nobody_takes_are_bounded() -> None:
    narration = Narration()
    narration.begin_session()
    for number in range(10_000):
        narration.phase(str(number))
    taken = narration.take(0.0)
    assert taken[0].text == f"{10_001 - MOST_WAITING} sentences about the simulation are missing here"
    assert taken[1].text == f"UDS session #1: {10_000 - MOST_WAITING}"
    assert len(taken) == MOST_PER_S
    assert narration.take(0.5) == []
    assert narration.take(1.0) == [
        ("info", f"{MOST_WAITING - MOST_PER_S + 1} sentences about the simulation are missing here")
    ]
