"""contrib/mock.dbc decodes the background traffic of a seed, to the last bit, by cantools and by `--decode`."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import cantools.database
import pytest
from cantools.database.can import Database

from cancorderd.signals.signal_decoder import SignalDecoder
from cancorderd.simulator.limits import BACKGROUND_IDS, max_background
from cancorderd.simulator.options import Options
from tests.unit.simulator.simulation_runs import drive

DBC = Path(__file__).parents[3] / "contrib/mock.dbc"


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_file(DBC)
    assert isinstance(loaded, Database)
    return loaded


def test_every_id_of_the_background_is_described_and_no_other(database: Database) -> None:
    assert {message.frame_id for message in database.messages} == BACKGROUND_IDS


@pytest.mark.parametrize("fd", [False, True])
def test_a_seed_is_decoded_to_the_last_bit(database: Database, *, fd: bool) -> None:
    frames = drive(Options(seed=7, background=500, fd=fd, start="always"), 4)
    background = [frame for frame in frames if frame.arbitration_id in BACKGROUND_IDS]
    assert {frame.arbitration_id for frame in background} == BACKGROUND_IDS
    counters: dict[int, list[float]] = defaultdict(list)
    for frame in background:
        message = database.get_message_by_frame_id(frame.arbitration_id)
        signals = message.decode(frame.data, decode_choices=False)
        assert isinstance(signals, dict)
        assert message.encode(signals, strict=True) == frame.data
        counters[frame.arbitration_id].append(float(str(signals["Counter"])))
    for counts in counters.values():
        assert all(after == (before + 1) % 15 for before, after in itertools.pairwise(counts))


def test_no_counter_has_a_gap_though_the_bus_is_full_and_the_engine_silenced() -> None:
    highest = max_background(Options(speed=20))
    frames = drive(Options(seed=7, background=highest, speed=20, image_size=500, start="always"), 0.6)
    last: dict[int, int] = {}
    for frame in frames:
        if frame.arbitration_id in BACKGROUND_IDS:
            counter = frame.data[1] & 0x0F
            assert counter == (last.get(frame.arbitration_id, counter - 1) + 1) % 15
            last[frame.arbitration_id] = counter
    engine = [frame.timestamp_us for frame in frames if frame.arbitration_id == 0x1A0]
    assert max(b - a for a, b in itertools.pairwise(engine)) > 10 * (engine[1] - engine[0])  # it was silenced


def test_values_are_those_of_a_car_in_town(database: Database) -> None:
    # A short image, so that the drive after the session begins soon.
    frames = drive(Options(seed=7, background=500, speed=20, image_size=500), 3)
    decoder = SignalDecoder([str(DBC)])
    values: dict[str, set[float | str]] = defaultdict(set)
    for frame in frames:
        decoded = decoder.decode(frame)
        assert (decoded is not None) == (frame.arbitration_id in BACKGROUND_IDS)
        if decoded:
            assert "error" not in decoded
            for name, signal in decoded["signals"].items():
                values[f"{decoded['message']}.{name}"].add(signal["value"])
    assert 15 < max(map(float, values["VehicleSpeed.Speed"])) < 80
    assert 1000 < max(map(float, values["Engine.EngineSpeed"])) < 3500
    assert all(-10 < float(value) < 120 for value in values["Climate.Coolant"])
    assert values["Supply.Battery"] == {12.4, 14.1}
    assert values["Climate.TargetLeft"] == {21.0}
