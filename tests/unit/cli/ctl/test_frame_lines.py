"""Colours of the lines of a dump; tests of the formats are in test_candump_format.py."""

from __future__ import annotations

import itertools

import pytest

from cancorderd.cli.ctl.frame_lines import colour, frame_json, line_format
from cancorderd.protocol.frame import BRS, ERROR, ESI, EXTENDED, FD, Frame

FRAME = Frame(1_700_000_000_000_000, 0x123, 0, b"a")


def test_each_id_keeps_its_colour_and_neighbours_differ() -> None:
    styles = [colour(FRAME._replace(arbitration_id=number)) for number in range(0x7E0, 0x7F0)]
    assert styles == [
        colour(FRAME._replace(arbitration_id=number, data=b"")) for number in range(0x7E0, 0x7F0)
    ]
    assert len(set(styles)) > 6
    assert all(first != second for first, second in itertools.pairwise(styles))
    assert colour(FRAME._replace(flags=ERROR)) == "bold red"
    assert "bold red" not in styles


@pytest.mark.parametrize(("log", "as_json"), [(True, False), (False, True)])
def test_lines_for_programs_have_no_colours(log: bool, as_json: bool) -> None:
    line = line_format(4, {}, as_json=as_json, log=log, stamps="", colours=True)
    assert "\x1b" not in line("body", FRAME)


def test_a_coloured_line_holds_the_plain_one() -> None:
    plain, coloured = (
        line_format(4, {}, as_json=False, log=False, stamps="", colours=colours)("body", FRAME)
        for colours in (False, True)
    )
    assert plain in coloured
    assert coloured.endswith("\x1b[0m")


def test_json_has_seconds_since_the_epoch_and_all_flags() -> None:
    frame = Frame(1_700_000_000_123_456, 0x18DAF110, EXTENDED | FD | BRS, b"\x01\xab")
    found = frame_json("body", frame, None)
    assert found["time"] == 1_700_000_000.123456
    assert (found["bus"], found["id"]) == ("body", 0x18DAF110)
    assert [found[key] for key in ("extended", "fd", "brs", "esi")] == [True, True, True, False]
    found = frame_json("body", frame._replace(flags=FD | ESI, arbitration_id=1), None)
    assert [found[key] for key in ("extended", "fd", "brs", "esi")] == [False, True, False, True]
