from __future__ import annotations

import pytest

from cancorderd.cli.ctl.terminal import styled


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
def test_styled(style: str, coloured: str, without: str) -> None:
    assert styled("x", style) == coloured
    assert styled("x", style, colours=False) == without
    assert styled("", style) == ""
