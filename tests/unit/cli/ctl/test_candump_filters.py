from __future__ import annotations

import pytest

from cancorderd.cli.ctl.candump_filters import FrameFilter, split
from cancorderd.protocol.frame import ERROR, EXTENDED, Frame

FRAMES = {
    "123": Frame(0, 0x123),
    "124": Frame(0, 0x124),
    "00000123": Frame(0, 0x123, EXTENDED),
    "18DAF110": Frame(0, 0x18DAF110, EXTENDED),
}


# Includes the examples of candump's usage: 123:7FF also passes 29-bit ids with this end, 123:C00007FF does not.
@pytest.mark.parametrize(
    ("filters", "passed"),
    [
        ("", {"123", "124", "00000123", "18DAF110"}),
        (",123:7FF", {"123", "00000123"}),
        (",123:C00007FF", {"123"}),
        (",123~7FF", {"124", "18DAF110"}),
        (",00000123:DFFFFFFF", {"00000123"}),
        (",18DAF110:DFFFFFFF,124:7FF", {"124", "18DAF110"}),
        (",120:7F0", {"123", "124", "00000123"}),
        (",120:7F0,124~7FF,j", {"123", "00000123"}),
        (",0~0", set()),
    ],
)
def test_filters_pass_the_same_ids_as_candumps(filters: str, passed: set[str]) -> None:
    name, frame_filter = split(f"body{filters}")
    assert name == "body"
    assert {text for text, frame in FRAMES.items() if frame_filter.passes(frame)} == passed


def test_no_filter_passes_everything() -> None:
    assert FrameFilter().passes(FRAMES["123"])


@pytest.mark.parametrize("text", ["123", "123:", ":7FF", "12g:7FF", "123456789:7FF", "123;7FF", "", "x"])
def test_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a filter\. Write ID:MASK in hexadecimal"):
        split(f"body,{text}")


def test_filter_for_error_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="error frames have no form"):
        split("body,#FFFF")


BUS_OFF, ACKNOWLEDGE = Frame(0, 0x40, ERROR, bytes(8)), Frame(0, 0x20, ERROR, bytes(8))


@pytest.mark.parametrize(
    ("filters", "errors"),
    [
        ("", [BUS_OFF, ACKNOWLEDGE]),
        (",123:7FF", [BUS_OFF, ACKNOWLEDGE]),
        (",#40", [BUS_OFF]),
        (",#40,#20", [BUS_OFF, ACKNOWLEDGE]),
        (",#FFFFFFFF", [BUS_OFF, ACKNOWLEDGE]),
        (",123:7FF,#20", [ACKNOWLEDGE]),
    ],
)
def test_error_frames_pass_the_filters_of_their_classes(filters: str, errors: list[Frame]) -> None:
    name, frame_filter = split(f"body{filters}", errors=True)
    assert name == "body"
    assert [frame for frame in (BUS_OFF, ACKNOWLEDGE) if frame_filter.passes(frame)] == errors
    assert frame_filter.passes(FRAMES["123"])
    assert frame_filter.passes(FRAMES["124"]) is ("123" not in filters)


def test_error_frame_without_a_class_passes_unless_classes_are_chosen() -> None:
    unspecified = Frame(0, 0, ERROR, bytes(8))
    assert split("body", errors=True)[1].passes(unspecified)
    assert not split("body,#4", errors=True)[1].passes(unspecified)
