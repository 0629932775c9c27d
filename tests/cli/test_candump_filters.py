from __future__ import annotations

import pytest

from cancorderd.cli.candump_filters import Filters, split
from cancorderd.frame import EXTENDED, Frame

FRAMES = {
    "123": Frame(0, 0x123),
    "124": Frame(0, 0x124),
    "00000123": Frame(0, 0x123, EXTENDED),
    "18DAF110": Frame(0, 0x18DAF110, EXTENDED),
}


# The examples of candump's usage, too: 123:7FF passes 29-bit ids that end so, 123:C00007FF does not.
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
def test_filters_pass_what_candumps_pass(filters: str, passed: set[str]) -> None:
    name, made = split(f"body{filters}")
    assert name == "body"
    assert {text for text, frame in FRAMES.items() if made.passes(frame)} == passed


def test_no_filter_passes_everything() -> None:
    assert Filters().passes(FRAMES["123"])


@pytest.mark.parametrize("text", ["123", "123:", ":7FF", "12g:7FF", "123456789:7FF", "123;7FF", "", "x"])
def test_what_is_no_filter_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no filter\. Write ID:MASK in hexadecimal"):
        split(f"body,{text}")


def test_error_frames_cannot_be_had() -> None:
    with pytest.raises(ValueError, match="error frames have no form"):
        split("body,#FFFF")
