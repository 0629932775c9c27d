"""Options of a simulation: limits and derived values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from cancorderd.protocol.frame import BRS, EXTENDED, FD
from cancorderd.simulator import limits
from cancorderd.simulator.background_traffic import TRAFFIC
from cancorderd.simulator.limits import BACKGROUND_IDS, max_background
from cancorderd.simulator.options import Options
from tests.support.settings import valid_settings

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"tester_id": 0x800},
        "tester_id: 0x800 is no arbitration id of 11 bits. Use an id up to 0x7FF, or set extended = true",
    ),
    (
        {"ecu_id": 0x2000_0000, "extended": True},
        "ecu_id: 0x20000000 is no arbitration id of 29 bits. Use an id up to 0x1FFFFFFF",
    ),
    ({"tester_id": 0x7E8}, "ecu_id: 0x7E8 is also the tester's arbitration id"),
    ({"tester_id": 0x7DF}, "tester_id: 0x7DF is the id of requests to all ECUs"),
    ({"ecu_id": 0x0A8, "background": 10}, "ecu_id: 0xA8 is also an id of the background traffic"),
    ({"pattern": "odd"}, 'pattern: there is no pattern \'odd\'. Use "numbered" or "quality"'),
    ({"speed": 0}, "speed: 0 is out of range. Use a factor above 0 and up to 1000"),
    ({"speed": 1001}, "speed: 1001 is"),
    ({"start": "never"}, "start: there is no start 'never'"),
    ({"bitrate": 0}, "bitrate: 0 is out of range. Use a value from 1 to 1,000,000"),
    ({"data_bitrate": 20_000_000}, "data_bitrate: 20000000 is"),
    ({"rate": -1}, "rate: -1 is"),
    ({"rate": 10_000_001}, "rate: 10000001 is"),
    ({"background": -1}, "background: -1 is"),
    ({"background": 5_000}, "5000 is above 3311, the frames/s that the bus carries beside diagnosis"),
    ({"busy_rate": 1.1}, "busy_rate: 1.1 is out of range. Use a value from 0 to 1"),
    ({"wrong_key_rate": -0.1}, "wrong_key_rate: -0.1 is"),
    ({"image_size": 31}, "image_size: 31 is out of range. Use a value from 32 to 262,144"),
    ({"block_length": 4096}, "block_length: 4096 is out of range. Use a value from 3 to 4,095"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_invalid_options_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Options(**settings)
    assert str(refused.value).startswith(message) or f": {message}" in str(refused.value)


def test_default_ids_and_flags_follow_the_kind_of_bus() -> None:
    assert Options().addresses == (0x7E0, 0x7E8, 0x7DF, 0)
    assert Options(extended=True).addresses == (0x18DA10F1, 0x18DAF110, 0x18DB33F1, EXTENDED)
    assert Options(fd=True, tester_id=0x700, ecu_id=0x708).addresses == (0x700, 0x708, 0x7DF, FD | BRS)
    assert Options(extended=True, tester_id=0x7E0).addresses.tester == 0x7E0


def test_a_faster_bus_carries_more_background() -> None:
    usual = max_background(Options())
    assert max_background(Options(bitrate=1_000_000)) == pytest.approx(2 * usual, abs=1)
    assert max_background(Options(speed=2)) == pytest.approx(2 * usual, abs=1)
    assert Options(background=usual).background == 3311


def test_background_ids_are_those_of_the_background_traffic() -> None:
    assert {cyclic.arbitration_id for cyclic in TRAFFIC} == BACKGROUND_IDS


@pytest.mark.parametrize(
    ("key", "lowest", "highest", "step"),
    [
        ("bitrate", 1, 1_000_000, 1), ("data_bitrate", 1, 10_000_000, 1), ("rate", 0, 10_000_000, 1),
        ("burst", 1, 10_000, 1), ("count", 0, 1 << 62, 1), ("test_id", 0, 0xFF, 1),
        ("image_size", 32, 262_144, 1), ("block_length", 3, 4095, 1), ("busy_rate", 0, 1, 0.001),
        ("conditions_rate", 0, 1, 0.001), ("wrong_key_rate", 0, 1, 0.001), ("transfer_error_rate", 0, 1, 0.001),
        ("slip_rate", 0, 1, 0.001),
    ],
)  # fmt: skip
def test_each_option_has_a_lowest_and_a_highest_value(
    key: str, lowest: float, highest: float, step: float
) -> None:
    needed: dict[str, Any] = {
        "burst": {"pattern": "numbered", "rate": 100},
        "count": {"pattern": "numbered", "rate": 100},
        "test_id": {"pattern": "quality", "rate": 100},
    }.get(key, {})
    for value in (lowest, highest):
        assert getattr(Options(**{**needed, key: value}), key) == value
    for value in (lowest - step, highest + step):
        with pytest.raises(ValueError, match=f"^{key}: "):
            Options(**{**needed, key: value})


def test_a_mock_bus_has_the_defaults_of_the_simulation() -> None:
    of_simulation, of_bus = Options(), valid_settings("mock")
    shared = {field.name for field in fields(Options)} & {field.name for field in fields(of_bus)}
    shared.remove("data_bitrate")  # a bus leaves it to its adapter
    assert len(shared) > 20
    assert {name: getattr(of_simulation, name) for name in shared} == {
        name: getattr(of_bus, name) for name in shared
    }


@pytest.mark.parametrize(
    ("key", "settings", "message"),
    [
        ("id", {"pattern": "numbered", "id": 0x800}, "0x800 is above 0x7FF, the highest arbitration id here"),
        ("id", {"pattern": "quality", "extended": True, "id": 0x2000_0000}, "0x20000000 is above 0x1FFFFFFF"),
        ("ecu_id", {"ecu_id": 0x7DF}, "0x7DF is the id of requests to all ECUs"),
        ("ecu_id", {"ecu_id": 0x18DB_33F1, "extended": True}, "0x18DB33F1 is the id of requests to all ECUs"),
        ("rate", {"rate": 0, "pattern": "quality"}, "0 frames/s are no pattern. Use a rate such as 1000."),
        ("test_id", {"rate": 1, "test_id": 0}, "frames of the pattern numbered have none"),
        ("length", {"rate": 1, "length": 9}, "9 bytes do not fit a classic frame. Write fd = true, or use a length up to 8."),
        ("length", {"rate": 1, "length": 64}, "64 bytes do not fit a classic frame"),
        ("length", {"rate": 1, "length": 65}, "65 is no length of a frame on this bus. Use 1, 2, 3, 4, 5, 6, 7 or 8."),
        ("length", {"rate": 1, "length": 0}, "0 is no length of a frame on this bus"),
        ("length", {"pattern": "quality", "length": 1}, "1 is no length of a frame of the quality test on this bus. Use 8."),
        ("length", {"pattern": "quality", "fd": True, "length": 12}, "12 is no length of a frame of the quality test"),
    ],
)  # fmt: skip
def test_limits_of_a_pattern_and_of_ids(key: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Options(**settings)
    assert str(refused.value).startswith(f"{key}: {message}")


@pytest.mark.parametrize(
    "settings",
    [
        {"tester_id": 0, "ecu_id": 0x7FF},
        {"tester_id": 0x1FFF_FFFF, "ecu_id": 0, "extended": True},
        {"ecu_id": 0x0A8},
        {"pattern": "numbered", "id": 0x7FF},
        {"pattern": "numbered", "id": 0},
        {"rate": 1, "extended": True, "id": 0x1FFF_FFFF},
        *({"rate": 1, "length": length} for length in range(1, 9)),
        *({"rate": 1, "fd": True, "length": length} for length in (8, 12, 16, 20, 24, 32, 48, 64)),
        *({"pattern": "quality", "fd": True, "length": length} for length in (8, 32, 48, 64)),
        {"pattern": "quality", "test_id": 0},
    ],
    ids=str,
)
def test_ids_and_patterns_within_the_limits(settings: dict[str, Any]) -> None:
    assert {key: getattr(Options(**settings), key) for key in settings} == settings


@pytest.mark.parametrize(
    ("settings", "pattern", "arbitration_id", "length", "flags"),
    [
        ({"rate": 9}, "numbered", 0x100, 8, 0),
        ({"pattern": "numbered", "fd": True}, "numbered", 0x100, 8, FD | BRS),
        ({"pattern": "numbered", "id": 0x123, "length": 3, "extended": True}, "numbered", 0x123, 3, EXTENDED),
        ({"pattern": "quality", "rate": 9}, "quality", 0x700, 8, 0),
        ({"pattern": "quality", "fd": True}, "quality", 0x700, 64, FD | BRS),
        ({"pattern": "quality", "fd": True, "extended": True}, "quality", 0x700, 64, FD | BRS | EXTENDED),
        ({"pattern": "quality", "fd": True, "length": 8}, "quality", 0x700, 8, 0),
        ({"pattern": "quality", "fd": True, "length": 32}, "quality", 0x700, 32, FD | BRS),
    ],
)
def test_a_pattern_has_its_usual_id_length_and_flags(
    settings: dict[str, Any], pattern: limits.Pattern, arbitration_id: int, length: int, flags: int
) -> None:
    options = Options(**settings)
    assert limits.pattern_of(options) == pattern
    assert limits.pattern_id(options, pattern) == arbitration_id
    assert limits.pattern_length(options, pattern) == length
    assert limits.pattern_flags(options, pattern) == flags


def test_without_a_pattern_the_bus_simulates_diagnosis() -> None:
    assert limits.pattern_of(Options()) is None
    idle: dict[str, Any] = {"id": 0, "length": 8, "burst": 2, "count": 1, "test_id": 0}
    for key, value in idle.items():
        with pytest.raises(
            ValueError, match=f"^{key}: it is for a pattern, and this bus simulates diagnosis"
        ):
            Options(**{key: value})
