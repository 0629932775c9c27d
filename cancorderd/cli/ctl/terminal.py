"""Coloured lines on a terminal, and messages beside the output.

rich could write the lines; but loading it takes as long as everything else that `cancorderctl status` does (50 ms
of 130, on a desktop), so only `status --watch` loads it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.cli.ctl.text_table import Line

_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = (
    {"bold": 1, "dim": 2}
    | {name: 30 + at for at, name in enumerate(_COLOURS)}
    | {f"on {name}": 40 + at for at, name in enumerate(_COLOURS)}
)
"""Select graphic rendition (ECMA-48, 8.3.117)."""


def on_terminal() -> bool:
    """Return whether the output is a terminal that can do more than write one line after another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def in_colours(when: str = "auto") -> bool:
    """Return whether colours are wanted: on a terminal, unless NO_COLOR (https://no-color.org) is set.

    `when` is "always" or "never" if the user has said so.
    """
    if when != "auto":
        return when == "always"
    return on_terminal() and not os.environ.get("NO_COLOR")


def print_error(text: str) -> None:
    """Print a message to standard error."""
    print(f"cancorderctl: {text}", file=sys.stderr, flush=True)


def print_lines(lines: Iterable[Line]) -> None:
    """Print styled lines."""
    colours = in_colours()
    for line in lines:
        print("".join(styled(text, style, colours=colours) for text, style in line))


def styled(text: str, style: str, *, colours: bool = True) -> str:
    """Return `text` with the codes of its style. Without `colours`, bold and dim remain."""
    words = style.replace("on ", "on_").split()
    codes = [_CODES[word.replace("on_", "on ")] for word in words]
    wanted = [str(code) for code in codes if colours or code < 30]
    return f"\x1b[{';'.join(wanted)}m{text}\x1b[0m" if wanted and text else text
