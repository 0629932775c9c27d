"""What completes our commands in bash, zsh and fish: shtab writes it from the programs' argparse parsers.

What stands behind an argument is told by its name in the help: a bus, a file, a folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import options
import shtab

if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "fish")

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
"""Those with a source of their own; a name of python-can's may stand there, too."""
_PREAMBLE = {
    "bash": """\
# The buses of the running daemon, or of that of --socket; none where it does not run.
_cancorderctl_buses() {
  local socket=() index
  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ ${COMP_WORDS[index]} != --socket ]] || socket=(--socket "${COMP_WORDS[index + 1]}")
  done
  compgen -W "$(cancorderctl "${socket[@]}" completion buses 2>/dev/null)" -- "$1"
}
""",
    "zsh": """\
# The buses of the running daemon; none where it does not run.
_cancorderctl_buses() {
  local -a names
  names=(${(f)"$(cancorderctl completion buses 2>/dev/null)"})
  compadd -a names
}
""",
    "fish": "",
}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The text for one program."""
    for one in (parser, *(command.parser for command in options.commands(parser))):
        for action in (*options.options(one), *options.arguments(one)):
            if action.metavar == "IFACE":
                action.choices = _INTERFACES
            if kind := _KINDS.get(str(action.metavar)):
                action.complete = kind  # type: ignore[attr-defined] # shtab looks for it there
    asks = parser.prog == "cancorderctl"
    text = str(shtab.complete(parser, shell, preamble=_PREAMBLE[shell] if asks else ""))
    if shell == "zsh":  # for several arguments of one kind, shtab writes that there is one
        text = text.replace('"(*)::', '"*:').replace('"(*):', '"*:')
    return text.rstrip("\n") + "\n"
