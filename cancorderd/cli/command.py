"""One command among those of `cancorderctl`, and the kinds of numbers that it takes."""

from __future__ import annotations

import argparse
from typing import Any

_SHORTEST_S, _LONGEST_S = 0.1, 86_400


def add(
    commands: Any, name: str, what: str, *examples: tuple[str, str], module: str = ""
) -> argparse.ArgumentParser:
    """A command: `what` it does (also the start of its own help), and examples with a word on each."""
    # A line that names the program stands as it is.
    shown = [
        (words if "cancorderctl " in words else f"cancorderctl {words}", about) for words, about in examples
    ]
    width = max((len(words) for words, _ in shown), default=0)
    lines = [f"  {words:{width}}  {about}".rstrip() for words, about in shown]
    one: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[:1].upper()}{what[1:]}.",
        epilog="\n".join(["examples:", *lines, ""]) if lines else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(module=module or name)
    # People write it at the end, too.
    one.add_argument("--socket", metavar="PATH", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return one


def seconds(text: str) -> float:
    given = float(text)
    if not _SHORTEST_S <= given <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not between {_SHORTEST_S} and {_LONGEST_S} seconds")
    return given


def count(text: str) -> int:
    if (given := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return given
