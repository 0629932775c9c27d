"""Help that fits the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.cli.help_text import fitted

TEXT = """\
A paragraph of two lines that belong
together.

examples:
  dump body                         a bus
  dump rack.local:42420 -L >x.log   another machine's bus

  first: one thing that is long enough to be broken
    with more of it
  second: another
"""


def test_text_that_fits_remains_as_it_is() -> None:
    assert fitted(TEXT, 60) == TEXT


def test_text_that_is_too_wide_is_filled_again_and_commands_stay_whole() -> None:
    lines = fitted(TEXT, 31).splitlines()
    assert [line for line in lines if len(line) > 31 and ">x.log" not in line] == []
    assert "  dump rack.local:42420 -L >x.log" in lines
    assert lines[:2] == ["A paragraph of two lines that", "belong together."]
    at = lines.index("  first: one thing that is long")
    assert lines[at : at + 3] == [
        "  first: one thing that is long",
        "    enough to be broken with",
        "    more of it",
    ]
    assert lines[at + 3] == "  second: another"


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n", "\n\na  b\n"])
def test_blank_lines_and_the_end_remain(text: str) -> None:
    assert fitted(text, 20) == text


@given(st.text(alphabet="ab \n", max_size=200), st.integers(20, 40))
def test_no_word_is_lost(text: str, width: int) -> None:
    assert fitted(text, width).split() == text.split()


def test_a_table_is_broken_within_its_columns() -> None:
    rows = "  -a, --all          every bus, whatever its state may be\n  --a-very-long-option NAME  one bus\n  -v      more\n"
    assert fitted(rows, 40).splitlines() == [
        "  -a, --all         every bus, whatever",
        "                    its state may be",
        "  --a-very-long-option NAME",
        "                    one bus",
        "  -v                more",
    ]
