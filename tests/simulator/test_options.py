"""What a simulation can be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from cancorderd.frame import BRS, EXTENDED, FD
from cancorderd.simulator import Options

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tester_id": 0x800}, "tester_id is 0x800. Use an id up to 0x7FF, or set extended = true"),
    ({"ecu_id": 0x2000_0000, "extended": True}, "ecu_id is 0x20000000. Use an id up to 0x1FFFFFFF"),
    ({"tester_id": 0x7E8}, "ecu_id is 0x7E8, the tester's arbitration id too"),
    ({"tester_id": 0x7DF}, "tester_id is 0x7DF, the id of requests to all ECUs"),
    ({"ecu_id": 0x0A8, "background": 10}, "ecu_id is 0xA8, which the background traffic has"),
    ({"speed": 0}, "speed is 0. Use a factor above 0 and up to 1000"),
    ({"speed": 1001}, "speed is 1001"),
    ({"start": "never"}, "start is 'never'"),
    ({"bitrate": 0}, "bitrate is 0. Use a value from 1 to 1,000,000"),
    ({"data_bitrate": 20_000_000}, "data_bitrate is"),
    ({"rate": -1}, "rate is -1"),
    ({"rate": 10_000_001}, "rate is 10000001"),
    ({"background": -1}, "background is -1"),
    ({"background": 5_000}, "the bus carries 3311 frames/s beside diagnosis"),
    ({"busy_rate": 1.1}, "busy_rate is 1.1. Use a value from 0 to 1"),
    ({"wrong_key_rate": -0.1}, "wrong_key_rate is"),
    ({"image_size": 31}, "image_size is 31. Use a value from 32 to 262,144"),
    ({"block_length": 4096}, "block_length is 4096. Use a value from 3 to 4,095"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Options(**settings)
    assert message in str(refused.value)


def test_ids_follow_the_bus() -> None:
    assert Options().addresses == (0x7E0, 0x7E8, 0x7DF, 0)
    assert Options(extended=True).addresses == (0x18DA10F1, 0x18DAF110, 0x18DB33F1, EXTENDED)
    assert Options(fd=True, tester_id=0x700, ecu_id=0x708).addresses == (0x700, 0x708, 0x7DF, FD | BRS)
    assert Options(extended=True, tester_id=0x7E0).addresses.tester == 0x7E0


def test_a_faster_bus_carries_more_background() -> None:
    assert Options(bitrate=1_000_000).max_background == pytest.approx(2 * Options().max_background, abs=1)
    assert Options(speed=2).max_background == pytest.approx(2 * Options().max_background, abs=1)
    assert Options(background=Options().max_background).background == 3311
