"""Lines in colour for whoever looks at the output.

rich could write them; loading it takes as long as all else that `cancorderctl status` does (50 ms of 130, on a
desktop), so that only `status --watch` does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.cli.layout import Line

_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = (
    {"bold": 1, "dim": 2}
    | {name: 30 + at for at, name in enumerate(_COLOURS)}
    | {f"on {name}": 40 + at for at, name in enumerate(_COLOURS)}
)
"""Select graphic rendition (ECMA-48, 8.3.117)."""


def on_terminal() -> bool:
    """False for pipes and files, and for terminals that can only write one line after another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def in_colours() -> bool:
    """True on a terminal, unless NO_COLOR (https://no-color.org) asks for none."""
    return on_terminal() and not os.environ.get("NO_COLOR")


def complain(text: str) -> None:
    """Say what is wrong, or missing, beside the output."""
    print(f"cancorderctl: {text}", file=sys.stderr, flush=True)


def show(lines: Iterable[Line]) -> None:
    """Write lines to the terminal."""
    colours = in_colours()
    for line in lines:
        print("".join(painted(text, style, colours=colours) for text, style in line))


def painted(text: str, style: str, *, colours: bool = True) -> str:
    """`text` with what switches its style on and off again; bold and dim are no colours."""
    words = style.replace("on ", "on_").split()
    codes = [_CODES[word.replace("on_", "on ")] for word in words]
    wanted = [str(code) for code in codes if colours or code < 30]
    return f"\x1b[{';'.join(wanted)}m{text}\x1b[0m" if wanted and text else text
