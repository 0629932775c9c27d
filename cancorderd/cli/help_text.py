"""Help that fits the terminal: paragraphs are filled again, and the second column of a table moves to the left. Pure.

Texts are written in lines of any length. A table is a run of indented lines with two blanks or more between its columns.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROW = re.compile(r"( +\S.*?)  +(\S.*)")
_HANGING = "  "


class HelpFormatter(argparse.HelpFormatter):
    """Formats descriptions and epilogs by `fitted`, everything else as argparse does."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.indent(fitted(text, width - len(indent)), indent)


def fitted(text: str, width: int) -> str:
    """Return the text in lines of at most `width` characters; words and the first column of a table stay whole.

    A paragraph or table that fits remains as it is.
    """
    found: list[str] = []
    for is_row, run in groupby(text.splitlines(), lambda line: bool(_ROW.match(line))):
        lines = [*run]
        blocks = [lines] if is_row else [*_paragraphs(lines)]
        for block in blocks:
            if all(len(line) <= width for line in block):
                found += block
            else:
                found += _table(block, width) if is_row else _filled(block, width)
    return "\n".join([*found, ""] if text.endswith("\n") else found)


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Yield runs of lines that belong together: without indent, or one with an indent and those with a deeper one."""
    block: list[str] = []
    for line in lines:
        if block and not (line.strip() and block[0].strip() and _continues(block[0], line)):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _continues(first: str, line: str) -> bool:
    return _indent(line) > _indent(first) or not (_indent(line) or _indent(first))


def _filled(block: list[str], width: int) -> list[str]:
    indent = " " * _indent(block[0])
    return textwrap.wrap(
        " ".join(line.strip() for line in block),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}{_HANGING}" if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: list[str], width: int) -> list[str]:
    cells = [match.groups() for row in rows if (match := _ROW.match(row))]
    column = min(max(len(left) for left, _ in cells) + 2, width // 2)
    found = []
    for left, right in cells:
        lines = textwrap.wrap(right, width - column, break_long_words=False, break_on_hyphens=False)
        if len(left) + 2 > column:
            found.append(left)
        else:
            found.append(f"{left:{column}}{lines.pop(0)}")
        found += [f"{'':{column}}{line}" for line in lines]
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
