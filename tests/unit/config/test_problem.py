from __future__ import annotations

import pytest

from cancorderd.config.problem import shortened, written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (0x123, "291"),
        (0.5, "0.5"),
        ('a "b"', '"a \\"b\\""'),
        ("ü", '"ü"'),
        ([1, "x"], '[1, "x"]'),
        ({"id": 0x7E0, "mask": 5}, "{id = 0x7E0, mask = 5}"),
    ],
    ids=str,
)
def test_value_is_written_as_in_the_file(value: object, text: str) -> None:
    assert written(value) == text


def test_id_is_written_in_hexadecimal() -> None:
    assert (written(0x7E0, as_hex=True), written(0, as_hex=True), written(-1, as_hex=True)) == (
        "0x7E0",
        "0",
        "-1",
    )


def test_long_text_is_cut_to_the_limit() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"
    assert shortened("abcd", 3) == "ab…"
