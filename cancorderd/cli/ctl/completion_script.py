"""Completion scripts for bash, zsh and fish, which shtab generates from argparse parsers.

An argument's metavar in the help decides what is completed for it: names of buses, files, folders.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import shtab

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSES = {
    "bash": "_cancorderctl_buses",
    "zsh": "_cancorderctl_buses",
    "fish": "(cancorderctl completion buses 2>/dev/null)",
}
_KINDS = {
    "BUS": _BUSES,
    "SOURCE": _BUSES,
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "DEVICE": shtab.FILE,
    "FOLDER": shtab.DIRECTORY,
    "CHAN": shtab.FILE,
}
_INTERFACES = ("gs_usb", "socketcan", "slcan", "toucan", "auto")
"""Interfaces with an adapter of our own; those of python-can are accepted, but not completed."""
_PREAMBLE = {
    "bash": """\
# The buses of the daemon that runs, or of the daemon at --socket; none if it does not run.
_cancorderctl_buses() {
  local socket=() index
  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ ${COMP_WORDS[index]} != --socket ]] || socket=(--socket "${COMP_WORDS[index + 1]}")
  done
  compgen -W "$(cancorderctl "${socket[@]}" completion buses 2>/dev/null)" -- "$1"
}
""",
    "zsh": """\
# The buses of the daemon that runs; none if it does not run.
_cancorderctl_buses() {
  local -a names
  names=(${(f)"$(cancorderctl completion buses 2>/dev/null)"})
  compadd -a names
}
""",
    "fish": "",
}


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that makes `shell` complete the program of `parser`."""
    for action in _arguments(parser):
        if action.metavar == "IFACE":
            action.choices = _INTERFACES
        if kind := _KINDS.get(str(action.metavar)):
            action.complete = kind  # type: ignore[attr-defined] # shtab looks for it there
    preamble = _PREAMBLE[shell] if parser.prog == "cancorderctl" else ""
    script = str(shtab.complete(parser, shell, preamble=preamble))
    if shell == "zsh":  # shtab writes "(*)", at most one, for an argument that may be repeated
        script = script.replace('"(*)::', '"*::').replace('"(*):', '"*:')
    return script.rstrip("\n") + "\n"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the visible arguments of a program and of its commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _arguments(command)
        elif action.help != argparse.SUPPRESS:
            yield action
