"""Text as man pages are written: roff with the man(7) macros. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH = 78


def escaped(text: str) -> str:
    """`text` as it is meant: no escapes, typewriter quotes, and hyphens that can be copied."""
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
        .replace("…", "...").replace("^", "\\(ha").replace("~", "\\(ti").replace("`", "\\(ga")
    )  # fmt: skip


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{escaped(text)}\\fR"


def prose(text: str) -> str:
    """A paragraph in lines of source; none of them can be taken for a macro."""
    lines = textwrap.wrap(escaped(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def entry(tag: str, paragraphs: Iterable[str]) -> str:
    """A tag and what hangs from it; `paragraphs` are roff already."""
    first, *rest = [each for each in paragraphs if each]
    return "\n".join([".TP", tag, first, *(f".IP\n{each}" for each in rest)])
