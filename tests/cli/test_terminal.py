from __future__ import annotations

import pytest

from cancorderd.cli.terminal import painted


@pytest.mark.parametrize(
    ("style", "coloured", "without"),
    [
        ("", "x", "x"),
        ("red", "\x1b[31mx\x1b[0m", "x"),
        ("bold red", "\x1b[1;31mx\x1b[0m", "\x1b[1mx\x1b[0m"),
        ("bold white on red", "\x1b[1;37;41mx\x1b[0m", "\x1b[1mx\x1b[0m"),
        ("dim", "\x1b[2mx\x1b[0m", "\x1b[2mx\x1b[0m"),
    ],
)
def test_painted(style: str, coloured: str, without: str) -> None:
    assert painted("x", style) == coloured
    assert painted("x", style, colours=False) == without
    assert painted("", style) == ""
