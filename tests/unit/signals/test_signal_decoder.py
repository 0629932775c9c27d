from __future__ import annotations

from pathlib import Path

import pytest

from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.signals.signal_database import DatabaseUnreadable
from cancorderd.signals.signal_decoder import SignalDecoder, signal_text

DBC = Path(__file__).parents[3] / "tests/support/engine.dbc"
SENSORS = 0x18FEF100


@pytest.fixture(scope="module")
def decoder() -> SignalDecoder:
    return SignalDecoder([str(DBC)])


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
def test_signals_with_units_choices_and_multiplexers(decoder: SignalDecoder, frame: Frame, line: str) -> None:
    decoded = decoder.decode(frame)
    assert decoded is not None
    assert signal_text(decoded) == line


@pytest.mark.parametrize("frame", [Frame(0, 0x124), Frame(0, 0x123, EXTENDED), Frame(0, 0x100)])
def test_unknown_id_is_not_decoded(decoder: SignalDecoder, frame: Frame) -> None:
    assert decoder.decode(frame) is None


def test_decoded_values_are_structured(decoder: SignalDecoder) -> None:
    decoded = decoder.decode(Frame(0, 0x123, 0, b"\x10\x27\x50\x0f"))
    assert decoded == {
        "message": "Engine",
        "signals": {
            "Speed": {"value": 2500.0, "unit": "rpm"},
            "Temperature": {"value": 40, "unit": "°C"},
            "Gear": {"value": 15, "name": "Reverse"},
        },
    }


def test_database_in_cp1252_as_vectors_tools_write(tmp_path: Path) -> None:
    path = tmp_path / "cp1252.dbc"
    path.write_bytes(DBC.read_text().encode("cp1252"))
    decoded = SignalDecoder([str(path)]).decode(Frame(0, 0x123, 0, b"\0" * 4))
    assert decoded is not None
    assert decoded["signals"]["Temperature"]["unit"] == "°C"


def test_first_database_counts_if_two_define_an_id(tmp_path: Path) -> None:
    second = tmp_path / "second.dbc"
    second.write_text(DBC.read_text().replace("291 Engine", "292 Other").replace("VAL_ 291", "VAL_ 292"))
    third = tmp_path / "third.DBC"
    third.write_text(DBC.read_text().replace("Engine", "Late"))
    both = SignalDecoder([str(DBC), str(second), str(third)])
    for number, name in ((0x123, "Engine"), (0x124, "Other")):
        decoded = both.decode(Frame(0, number, 0, b"\0" * 4))
        assert decoded is not None
        assert decoded["message"] == name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.dbc", None, "absent.dbc: No such file or directory"),
        ("passwd", "root:x:0:0\n", "passwd: its name ends in none of .dbc .kcd"),
        ("wrong.dbc", "\x1b[31mno database", "wrong.dbc: not a database of frames that cantools can read. "),
        ("wrong.arxml", "<a>", "wrong.arxml: not a database of frames"),
    ],
)
def test_file_of_another_format_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatabaseUnreadable) as error:
        SignalDecoder([str(path)])
    assert message in str(error.value)
    assert str(error.value).isprintable()
