"""Text for man pages: roff with the man(7) macros. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH = 78


def escaped(text: str) -> str:
    """Return `text` so that roff prints it literally, with typewriter quotes, and hyphens that can be copied."""
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
        .replace("…", "...").replace("^", "\\(ha").replace("~", "\\(ti").replace("`", "\\(ga")
    )  # fmt: skip


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{escaped(text)}\\fR"


def prose(text: str) -> str:
    """Return a paragraph in lines of source, none of which roff takes for a macro."""
    lines = textwrap.wrap(escaped(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def entry(tag: str, paragraphs: Iterable[str]) -> str:
    """Return a tag and its paragraphs, which are roff already."""
    first, *rest = [paragraph for paragraph in paragraphs if paragraph]
    return "\n".join([".TP", tag, first, *(f".IP\n{paragraph}" for paragraph in rest)])
