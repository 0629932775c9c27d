"""Foreign text becomes one printable line of bounded length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.printable import LONGEST, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("gs_usb: no device", "gs_usb: no device"),
        ("Prüfstand 7 車", "Prüfstand 7 車"),
        ("\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?"),
        ("\x9b31m", "?31m"),
        ("two\r\nlines\tand\u2028more", "two  lines and more"),
        ("a\0b\x7fc", "a?b?c"),
        ("\udc9b\ud800", "??"),
        ("\u202ecod.exe\u200b\ufeff", "?cod.exe??"),
        ("\ue000", "?"),
    ],
)
def test_characters(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_long_text_is_cut() -> None:
    assert printable("x" * LONGEST) == "x" * LONGEST
    assert printable("x" * 200_000) == "x" * (LONGEST - 3) + "..."
    assert printable("\x1b" * 20, 8) == "?????..."
    assert printable("x" * 200_000, None) == "x" * 200_000


@given(st.text(st.characters()), st.integers(3, 40))
def test_any_text(text: str, longest: int) -> None:
    safe = printable(text, longest)
    assert len(safe) <= longest
    assert safe.isprintable()
    safe.encode()
    assert printable(safe, longest) == safe
