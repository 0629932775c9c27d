"""Tables of text with aligned columns, plain or styled. Pure.

A styled line consists of pieces of text, each with a style in rich's words (`bold red`): `terminal` writes such
lines itself, `window` passes them to rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Line: TypeAlias = "list[tuple[str, str]]"
"""Pieces of text, each with its style ("" for none)."""

GAP = "  "
"""Space between two columns."""
_NUMERIC_COLUMNS = {
    "PORT",
    "FRAMES/S",
    "LOAD",
    "CLIENTS",
    "LOST",
    "RESTARTS",
    "SINCE",
    "CONNECTED",
    "SENT",
    "DROPPED",
    "BACKLOG",
    "REC",
    "LAST FRAME",
    "LAG",
    "BITRATE",
    "COUNT",
    "RATE",
    "FIRST",
    "LAST",
}
"""Columns that are aligned to the right."""


class Table(NamedTuple):
    """Cells before alignment."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def without(self, columns: Collection[str]) -> Table:
        """Return the table without these columns."""
        kept = [index for index, column in enumerate(self.header) if column not in columns]
        rows = [tuple(row[index] for index in kept) for row in self.rows]
        return Table(tuple(self.header[index] for index in kept), rows)


def text_lines(table: Table) -> list[str]:
    """Return the header and the rows with aligned columns: numbers to the right, the rest to the left."""
    return [GAP.join(cells).rstrip() for cells in _aligned(table)]


def styled_lines(table: Table, styles: Sequence[Sequence[str]] | None = None) -> list[Line]:
    """Return the same lines with a bold header and, if given, a style for each cell of the rows."""
    header, *rows = _aligned(table)
    row_styles = styles or [[""] * len(header)] * len(rows)
    lines = [[(cell, "bold") for cell in header]]
    lines += [
        list(zip(row, cell_styles, strict=True)) for row, cell_styles in zip(rows, row_styles, strict=True)
    ]
    return [_spaced(line) for line in lines]


def _aligned(table: Table) -> list[list[str]]:
    """Return the cells of each line, header first, padded to the width of their columns."""
    lines = [list(row) for row in (table.header, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        [
            cell.rjust(width) if column in _NUMERIC_COLUMNS else cell.ljust(width)
            for column, cell, width in zip(table.header, row, widths, strict=True)
        ]
        for row in lines
    ]


def _spaced(line: Line) -> Line:
    """Return the line with gaps between the cells; padding is not styled."""
    spaced: Line = []
    for text, style in line:
        blanks = len(text) - len(text.rstrip())
        spaced += [(text.rstrip(), style), (" " * blanks + GAP, "")]
    return spaced[:-1]
