"""J1939: messages are found by their parameter group, whoever sends them, where a database or the caller says J1939."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.signals.parameter_groups import ParameterGroups, group_bits
from cancorderd.signals.signal_decoder import SignalDecoder

if TYPE_CHECKING:
    from pathlib import Path

SIGNAL = ' SG_ X : 0|8@1+ (1,0) [0|0] "" A\n\n'
EEC1, TSC1 = 0x0CF004FE, 0x0C0000FE
"""A broadcast (PDU2) and a message to a destination (PDU1), as databases write them: from 0xFE, to 0x00."""
MESSAGES = (
    f'VERSION ""\n\nBU_: A\n\nBO_ {EEC1 | 1 << 31} EEC1: 8 A\n{SIGNAL}BO_ {TSC1 | 1 << 31} TSC1: 8 A\n{SIGNAL}'
    f"BO_ 1024 Eleven: 8 A\n{SIGNAL}"
)
PROTOCOL_TYPE = 'BA_DEF_ "ProtocolType" STRING ;\nBA_DEF_DEF_ "ProtocolType" "{}";\n'
FRAME_FORMAT = 'BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";\n'
SAYING_J1939 = {
    "attribute": PROTOCOL_TYPE.format("") + 'BA_ "ProtocolType" "J1939";\n',
    "attribute in small letters": PROTOCOL_TYPE.format("CAN") + 'BA_ "ProtocolType" "j1939";\n',
    "default of the attribute": PROTOCOL_TYPE.format("J1939"),
    "frame format of each message": FRAME_FORMAT
    + 'BA_DEF_DEF_ "VFrameFormat" "StandardCAN";\n'
    + "".join(f'BA_ "VFrameFormat" BO_ {number | 1 << 31} 3;\n' for number in (EEC1, TSC1)),
    "default of the frame format": FRAME_FORMAT + 'BA_DEF_DEF_ "VFrameFormat" "J1939PG";\n',
}
NOT_SAYING_J1939 = {
    "nothing": "",
    "another protocol": PROTOCOL_TYPE.format("J1939") + 'BA_ "ProtocolType" "CAN";\n',
    "another frame format": FRAME_FORMAT + 'BA_DEF_DEF_ "VFrameFormat" "ExtendedCAN";\n',
}


@pytest.mark.parametrize(
    ("arbitration_id", "group"),
    [
        (0x18FEF100, 0x00FEF100),
        (0x0CFEF117, 0x00FEF100),
        (0x1DFEF1FE, 0x01FEF100),
        (0x1AFEF1FE, 0x02FEF100),
        (0x18F00400, 0x00F00400),
        (0x18EFFF17, 0x00EF0000),
        (0x18EF0017, 0x00EF0000),
        (0x00000000, 0x00000000),
        (0x1FFFFFFF, 0x03FFFF00),
    ],
)
def test_group_has_neither_priority_nor_source_nor_destination(arbitration_id: int, group: int) -> None:
    assert group_bits(arbitration_id) == group


def test_of_several_in_a_group_the_same_source_counts_else_the_first() -> None:
    groups: ParameterGroups[str] = ParameterGroups()
    for number, name in ((0x18FEF1FE, "any"), (0x18FEF10B, "brakes"), (0x0CFEF10B, "late")):
        groups.add(number, name)
    assert groups.find(0x0CFEF10B) == "brakes"
    assert groups.find(0x18FEF100) == "any"
    assert groups.find(0x18FEF200) is None


def names(decoder: SignalDecoder, frames: list[tuple[int, int]]) -> list[str | None]:
    found = [decoder.decode(Frame(0, number, flags, bytes(8))) for number, flags in frames]
    return [item and item["message"] for item in found]


ELSEWHERE = [(0x18F00400, EXTENDED), (0x0CF0040B, EXTENDED), (0x0C000B27, EXTENDED), (0x18000003, EXTENDED)]
NO_MEMBERS = [(0x18F00500, EXTENDED), (0x0D000003, EXTENDED), (0x0C010003, EXTENDED), (0x00010400, EXTENDED)]


@pytest.mark.parametrize("attributes", SAYING_J1939.values(), ids=SAYING_J1939)
def test_group_from_any_source_is_found_if_the_database_says_j1939(tmp_path: Path, attributes: str) -> None:
    path = tmp_path / "a.dbc"
    path.write_text(MESSAGES + attributes)
    decoder = SignalDecoder([str(path)])
    assert decoder.notices == []
    assert names(decoder, ELSEWHERE) == ["EEC1", "EEC1", "TSC1", "TSC1"]
    assert names(decoder, NO_MEMBERS) == [None] * 4
    assert names(decoder, [(1024, 0), (EEC1, EXTENDED)]) == ["Eleven", "EEC1"]


@pytest.mark.parametrize("attributes", NOT_SAYING_J1939.values(), ids=NOT_SAYING_J1939)
def test_group_is_found_in_any_database_with_the_option_alone(tmp_path: Path, attributes: str) -> None:
    path = tmp_path / "a.dbc"
    path.write_text(MESSAGES + attributes)
    assert names(SignalDecoder([str(path)]), ELSEWHERE) == [None] * 4
    decoder = SignalDecoder([str(path)], j1939=True)
    assert names(decoder, ELSEWHERE) == ["EEC1", "EEC1", "TSC1", "TSC1"]
    assert names(decoder, NO_MEMBERS) == [None] * 4


def test_exact_id_in_a_later_database_counts_more_than_a_group_in_an_earlier_one(tmp_path: Path) -> None:
    first, second = tmp_path / "a.dbc", tmp_path / "b.dbc"
    first.write_text(MESSAGES)
    second.write_text(MESSAGES.replace(str(EEC1 | 1 << 31), str(0x18F00400 | 1 << 31)).replace("EEC1", "Own"))
    decoder = SignalDecoder([str(first), str(second)], j1939=True)
    assert names(decoder, [(0x18F00400, EXTENDED), (0x18F00401, EXTENDED)]) == ["Own", "EEC1"]
