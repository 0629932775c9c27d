"""Lines of keys: every form that TOML has for them, and texts that try to mislead."""

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.config.toml_positions import KeyPath, positions

TEXT = """\
# [bus.fake] in a comment
top = 1
title = "a # and a [bus.fake] inside"   # comment = 5
[daemon] # here
  "log level" = 'its "' # not looked at
note = \"""
[bus.fake]
bitrate = 5 \\\""" still inside
\"\"\"\"\"
raw = '''
[bus.fake]
# x = "
'''

[bus.a]
channel = "can0"
filters = [
  { id = 0x7E8, mask = 1 },   # ] not the end
  { id = 1, sub = { x = [1, 2,
3] } },
]
when = 1979-05-27 07:32:00
[bus]
b.interface = "slcan"
b.port = 5
"c d" = { interface = "mock", "x.y" = 1 }
[ bus . e ]
port = 1
[[many]]
x = 1
[many.sub]
y = 1
[[many]]
x = 2
[many.sub]
y = 2
[[many.deep]]
z = 1
[[many.deep]]
z = 2
"""

CASES: dict[KeyPath, int | None] = {
    ("top",): 2,
    ("title",): 3,
    ("daemon",): 4,
    ("daemon", "log level"): 5,
    ("daemon", "note"): 6,
    ("daemon", "raw"): 10,
    ("bus", "a"): 15,
    ("bus", "a", "channel"): 16,
    ("bus", "a", "filters"): 17,
    ("bus", "a", "filters", 0): 18,
    ("bus", "a", "filters", 0, "mask"): 18,
    ("bus", "a", "filters", 1, "id"): 19,
    ("bus", "a", "filters", 1, "sub", "x", 2): 20,
    ("bus", "a", "when"): 22,
    ("bus",): 23,
    ("bus", "b"): 24,
    ("bus", "b", "port"): 25,
    ("bus", "c d", "x.y"): 26,
    ("bus", "e"): 27,
    ("bus", "e", "port"): 28,
    ("many", 0, "x"): 30,
    ("many", 0, "sub", "y"): 32,
    ("many", 1): 33,
    ("many", 1, "x"): 34,
    ("many", 1, "sub", "y"): 36,
    ("many", 1, "deep", 1, "z"): 40,
    # Not in the text: the nearest that is.
    ("bus", "a", "interface"): 15,
    ("bus", "a", "filters", 0, "extended"): 18,
    ("bus", "b", "channel"): 24,
    ("bus", "fake"): 23,
    ("nothing",): None,
    (): None,
}


@pytest.mark.parametrize(("path", "line"), CASES.items(), ids=str)
def test_line_of_a_key(path: KeyPath, line: int | None) -> None:
    assert positions(TEXT).line_of(path) == line


def test_every_key_of_the_text_is_known() -> None:
    assert set(paths(tomllib.loads(TEXT))) <= set(positions(TEXT).lines)


def test_windows_line_ends() -> None:
    assert positions(TEXT.replace("\n", "\r\n")).lines == positions(TEXT).lines


def paths(value: Any, prefix: KeyPath = ()) -> list[KeyPath]:
    here = [prefix] if prefix else []
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return here + [path for key, inner in items for path in paths(inner, (*prefix, key))]


nasty = st.text(st.sampled_from("ab.#[]{}=,'\"\\ \n\té"), max_size=8)
values = st.recursive(
    nasty | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(nasty, values, max_size=4), st.booleans())
def test_every_key_of_any_text_is_found_where_it_stands(tables: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(tables, multiline_strings=multiline)
    known = positions(text).lines
    missing = [path for path in paths(tomllib.loads(text)) if path not in known]
    assert not missing
    rows = text.split("\n")
    for path, line in known.items():
        last = path[-1]
        if isinstance(last, str) and last.isascii() and last.isalnum():
            assert last in rows[line - 1]


@given(st.lists(nasty, min_size=1, max_size=6, unique=True), nasty)
def test_lines_are_exact_after_any_text_in_a_value(names: list[str], filler: str) -> None:
    # Each key stands after a string that may hold line ends, brackets and comment signs.
    text, expected = "", {}
    for name in names:
        expected[name] = text.count("\n") + 1
        text += tomli_w.dumps({name: filler}, multiline_strings=True)
    assert {name: positions(text).line_of((name,)) for name in names} == expected


@given(st.text(st.sampled_from("ab.#[]{}=,'\"\\ \n"), max_size=60))
def test_any_text_is_survived(text: str) -> None:
    for line in positions(text).lines.values():
        assert 1 <= line <= text.count("\n") + 1


def test_brackets_without_end_are_survived() -> None:
    assert positions("a = " + "[" * 100_000).line_of(("a",)) == 1
