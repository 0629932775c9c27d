"""The lines of the completion in bash that name options and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_FILES = frozenset({"FILE", "PATH", "PORT"})


def options_of(parser: argparse.ArgumentParser) -> str:
    """What a program without commands takes."""
    return f"    options='{' '.join(_long(parser))}'"


def options_by_program(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """The same for several of them."""
    return "\n".join(f"    {name}) options='{' '.join(_long(one))}' ;;" for name, one in parsers.items())


def options_of_commands(parser: argparse.ArgumentParser) -> str:
    found = options.commands(parser)
    first = " ".join([*_long(parser), *(command.name for command in found)])
    lines = [f"    '') options='{first}' ;;"]
    lines += [f"    {command.name}) options='{' '.join(_long(command.parser))}' ;;" for command in found]
    return "\n".join(lines)


def operands_of_commands(parser: argparse.ArgumentParser) -> str:
    """Which commands take names of buses, and which take files."""
    kinds: dict[str, list[str]] = {"buses": [], "files": []}
    for command in options.commands(parser):
        for action in options.arguments(command.parser):
            name = str(action.metavar or action.dest)
            kind = "files" if name in _FILES else "buses" if "BUS" in name.upper() else None
            if kind:
                kinds[kind].append(command.name)
    return "\n".join(f"    {' | '.join(names)}) operands={kind} ;;" for kind, names in kinds.items() if names)


def _long(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(
        name for action in options.options(parser) for name in action.option_strings if name[1] == "-"
    )
