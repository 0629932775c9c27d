"""Foreign text becomes one printable line of bounded length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.printable import LONGEST, LONGEST_ERROR, error_text, printable


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


class Speechless(Exception):
    """An exception of a library whose message cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no device."), "no device"),
        (ValueError(" no\ndevice... "), "no device"),
        (ValueError("2.5 V"), "2.5 V"),
        (ValueError(), "ValueError"),
        (ValueError("."), "ValueError"),
        (ValueError(" "), "ValueError"),
        (OSError(2, "gone"), "[Errno 2] gone"),
        (Speechless("x"), "Speechless"),
        (ValueError("\x1b[2J"), "?[2J"),
        (ValueError("x" * LONGEST_ERROR), "x" * LONGEST_ERROR),
        (ValueError("x" * (LONGEST_ERROR + 1)), "x" * (LONGEST_ERROR - 3)),
    ],
    ids=repr,
)
def test_error_has_its_message_without_a_full_stop_or_its_type(error: Exception, text: str) -> None:
    assert error_text(error) == text
