"""Columns, and control characters in texts from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.cli.ctl.text_table import Table, styled_lines, text_lines

if TYPE_CHECKING:
    pass


def test_numbers_are_aligned_to_the_right() -> None:
    assert text_lines(Table(("BUS", "PORT"), [("a", "1"), ("body", "42420")])) == [
        "BUS    PORT",
        "a         1",
        "body  42420",
    ]


def test_styled_lines_have_the_same_text() -> None:
    table = Table(("BUS", "PORT"), [("a", "1"), ("body", "42420")])
    lines = styled_lines(table, [["bold", ""], ["", "red"]])
    assert ["".join(text for text, _ in line) for line in lines] == text_lines(table)
    assert ("42420", "red") in lines[2]


def test_lines_without_styles_have_a_bold_header_alone() -> None:
    table = Table(("BUS", "PORT"), [("a", "1")])
    header, row = styled_lines(table)
    assert {style for text, style in header if text.strip()} == {"bold"}
    assert {style for _, style in row} == {""}
    assert "".join(text for text, _ in row) == text_lines(table)[1]


def test_columns_can_be_left_out() -> None:
    table = Table(("BUS", "REC", "WHY"), [("a", "1 MB", "x"), ("b", "-", "")])
    assert table.without({"REC"}) == Table(("BUS", "WHY"), [("a", "x"), ("b", "")])
    assert table.without(()) == table
