from __future__ import annotations

from pathlib import Path

import pytest

from cancorderd.cli.decode import DatabaseUnreadable, Decoder, text
from cancorderd.frame import EXTENDED, Frame

DBC = Path(__file__).with_name("engine.dbc")
SENSORS = 0x18FEF100


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder([str(DBC)])


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (
            Frame(0, 0x123, 0, b"\x10\x27\x50\x01"),
            " :: Engine(Speed: 2500.0 rpm, Temperature: 40 °C, Gear: First)",
        ),
        (
            Frame(0, 0x123, 0, b"\x10\x27\x50\x02"),
            " :: Engine(Speed: 2500.0 rpm, Temperature: 40 °C, Gear: 2)",
        ),
        (Frame(0, 0x123, 0, b"\x10\x27"), " :: Engine(Speed: 2500.0 rpm)"),
        (Frame(0, SENSORS, EXTENDED, b"\x00\x7b\x00"), " :: Sensors(Which: 0, Voltage: 12.3 V)"),
        (Frame(0, SENSORS, EXTENDED, b"\x01\xff\xff"), " :: Sensors(Which: 1, Current: -1 mA)"),
        (
            Frame(0, SENSORS, EXTENDED, b"\x02\x00\x00"),
            " :: Sensors: expected multiplexer id 0 or 1, but got 2",
        ),
    ],
)
def test_signals_with_units_choices_and_multiplexers(decoder: Decoder, frame: Frame, line: str) -> None:
    decoded = decoder.decode(frame)
    assert decoded is not None
    assert text(decoded) == line


@pytest.mark.parametrize("frame", [Frame(0, 0x124), Frame(0, 0x123, EXTENDED), Frame(0, 0x100)])
def test_ids_that_no_database_has(decoder: Decoder, frame: Frame) -> None:
    assert decoder.decode(frame) is None


def test_values_for_scripts(decoder: Decoder) -> None:
    decoded = decoder.decode(Frame(0, 0x123, 0, b"\x10\x27\x50\x0f"))
    assert decoded == {
        "message": "Engine",
        "signals": {
            "Speed": {"value": 2500.0, "unit": "rpm"},
            "Temperature": {"value": 40, "unit": "°C"},
            "Gear": {"value": 15, "name": "Reverse"},
        },
    }


def test_databases_as_vectors_tools_write_them(tmp_path: Path) -> None:
    path = tmp_path / "cp1252.dbc"
    path.write_bytes(DBC.read_text().encode("cp1252"))
    decoded = Decoder([str(path)]).decode(Frame(0, 0x123, 0, b"\0" * 4))
    assert decoded is not None
    assert decoded["signals"]["Temperature"]["unit"] == "°C"


def test_of_two_databases_the_first_counts(tmp_path: Path) -> None:
    second = tmp_path / "second.dbc"
    second.write_text(DBC.read_text().replace("291 Engine", "292 Other").replace("VAL_ 291", "VAL_ 292"))
    third = tmp_path / "third.DBC"
    third.write_text(DBC.read_text().replace("Engine", "Late"))
    both = Decoder([str(DBC), str(second), str(third)])
    for number, name in ((0x123, "Engine"), (0x124, "Other")):
        assert (both.decode(Frame(0, number, 0, b"\0" * 4)) or {})["message"] == name


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.dbc", None, "absent.dbc: No such file or directory"),
        ("passwd", "root:x:0:0\n", "passwd: its name ends in none of .dbc .kcd"),
        ("wrong.dbc", "\x1b[31mno database", "wrong.dbc: no database of frames that cantools can read. "),
        ("wrong.arxml", "<a>", "wrong.arxml: no database of frames"),
    ],
)
def test_what_is_no_database_is_told(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatabaseUnreadable) as error:
        Decoder([str(path)])
    assert told in str(error.value)
    assert str(error.value).isprintable()
