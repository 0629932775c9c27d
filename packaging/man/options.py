"""The options and commands of a program, from its argparse parser: for its man page and its completion."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import roff


class Command(NamedTuple):
    """A command of a program, such as `status` of cancorderctl."""

    name: str
    help: str
    parser: argparse.ArgumentParser


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Those that its help tells of."""
    return [
        action
        for action in parser._actions  # noqa: SLF001 - there is no other way
        if action.option_strings and action.help != argparse.SUPPRESS
    ]


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What has no dash."""
    return [action for action in parser._actions if not action.option_strings and not _commands(action)]  # noqa: SLF001


def commands(parser: argparse.ArgumentParser) -> list[Command]:
    found = []
    for action in parser._actions:  # noqa: SLF001
        if choices := _commands(action):
            helps = {each.dest: each.help or "" for each in getattr(action, "_choices_actions", ())}
            found += [Command(name, helps.get(name, ""), one) for name, one in choices.items()]
    return found


def _commands(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands, where the action stands for them."""
    choices = action.choices if action.nargs == argparse.PARSER else None
    return dict(choices) if isinstance(choices, dict) else {}


def words(action: argparse.Action) -> str:
    """What the action takes, as a person writes it: NAME, [NAME...] and so on."""
    if action.nargs == 0:
        return ""
    name = str(action.metavar or action.dest.upper())
    return {"*": f"[{name}...]", "+": f"{name}...", "?": f"[{name}]"}.get(str(action.nargs), name)


def synopsis(parser: argparse.ArgumentParser) -> str:
    """The line after the program's name: options in brackets, then arguments."""
    parts = []
    for action in options(parser):
        if "--help" not in action.option_strings:
            value = f" {roff.italic(words(action))}" if action.nargs != 0 else ""
            parts.append(f"[{roff.bold(action.option_strings[0])}{value}]")
    parts += [roff.italic(words(action)) for action in arguments(parser)]
    return " ".join(parts)


def synopsis_lines(parser: argparse.ArgumentParser) -> str:
    """The same in short lines of source, where many options stand in running text."""
    return synopsis(parser).replace(" [", "\n[")


def option_entries(parser: argparse.ArgumentParser) -> str:
    return "\n".join(_entry(action) for action in options(parser))


def command_entries(parser: argparse.ArgumentParser) -> str:
    """Each command with its own options below it."""
    lines = []
    for command in commands(parser):
        tag = f"{roff.bold(command.name)} {synopsis(command.parser)}".strip()
        lines.append(roff.entry(tag, [roff.prose(command.parser.description or f"{command.help}.")]))
        own = [action for action in options(command.parser) if "--help" not in action.option_strings]
        if own:
            lines += [".RS", *(_entry(action) for action in own), ".RE"]
    return "\n".join(lines)


def _entry(action: argparse.Action) -> str:
    value = f" {roff.italic(words(action))}" if action.nargs != 0 else ""
    tag = ", ".join(roff.bold(each) for each in action.option_strings) + value
    text = (action.help or "") % {**vars(action), "prog": "%(prog)s"}
    return roff.entry(tag, [roff.prose(f"{text[:1].upper()}{text[1:]}.")])
