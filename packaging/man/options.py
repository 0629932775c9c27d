"""Options and commands of a program, from its argparse parser, as sections of its man page."""

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
    """Return the options that the program's help shows."""
    return [
        action
        for action in parser._actions  # noqa: SLF001 - argparse has no public way
        if action.option_strings and action.help != argparse.SUPPRESS
    ]


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the positional arguments."""
    return [
        action
        for action in parser._actions  # noqa: SLF001
        if not action.option_strings and not _parsers(action)
    ]


def commands(parser: argparse.ArgumentParser) -> list[Command]:
    """Return the commands of a program; one that has commands of its own is represented by these."""
    found: list[Command] = []
    for action in parser._actions:  # noqa: SLF001
        if parsers := _parsers(action):
            helps = {choice.dest: choice.help or "" for choice in getattr(action, "_choices_actions", ())}
            for name, command in parsers.items():
                inner = commands(command)
                found += [each._replace(name=f"{name} {each.name}") for each in inner]
                if not inner:
                    found.append(Command(name, helps.get(name, ""), command))
    return found


def _parsers(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands, if the action stands for these."""
    choices = action.choices if action.nargs == argparse.PARSER else None
    return dict(choices) if isinstance(choices, dict) else {}


def value_words(action: argparse.Action) -> str:
    """Return the value of the action as a synopsis has it: NAME, [NAME...] and so on."""
    if action.nargs == 0:
        return ""
    name = str(action.metavar or action.dest.upper())
    return {"*": f"[{name}...]", "+": f"{name}...", "?": f"[{name}]"}.get(str(action.nargs), name)


def synopsis(parser: argparse.ArgumentParser) -> str:
    """Return the line after the program's name: options in brackets, then arguments."""
    parts = []
    for action in options(parser):
        if "--help" not in action.option_strings:
            value = f" {roff.italic(value_words(action))}" if action.nargs != 0 else ""
            parts.append(f"[{roff.bold(action.option_strings[0])}{value}]")
    parts += [roff.italic(value_words(action)) for action in arguments(parser)]
    return " ".join(parts)


def synopsis_lines(parser: argparse.ArgumentParser) -> str:
    """Return the synopsis with an option on each line of the source, for programs with many options."""
    return synopsis(parser).replace(" [", "\n[")


def option_entries(parser: argparse.ArgumentParser) -> str:
    return "\n".join(_entry(action) for action in options(parser))


def command_entries(parser: argparse.ArgumentParser) -> str:
    """Return an entry for each command, with its own options below it."""
    lines = []
    for command in commands(parser):
        tag = f"{roff.bold(command.name)} {synopsis(command.parser)}".strip()
        lines.append(roff.entry(tag, [roff.prose(command.parser.description or f"{command.help}.")]))
        own = [action for action in options(command.parser) if "--help" not in action.option_strings]
        if own:
            lines += [".RS", *(_entry(action) for action in own), ".RE"]
    return "\n".join(lines)


def _entry(action: argparse.Action) -> str:
    value = f" {roff.italic(value_words(action))}" if action.nargs != 0 else ""
    tag = ", ".join(roff.bold(option) for option in action.option_strings) + value
    text = (action.help or "") % {**vars(action), "prog": "%(prog)s"}
    return roff.entry(tag, [roff.prose(f"{text[:1].upper()}{text[1:]}.")])
