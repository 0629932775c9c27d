"""argparse, with another word for a command that does not exist."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

_UNKNOWN = re.compile(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)", re.DOTALL)


class CommandParser(argparse.ArgumentParser):
    """Parser of a program with commands, and of each command."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the mistake, and exit with 2. Names the command that an unknown one was meant to be."""
        if unknown := _UNKNOWN.match(message):
            message = unknown_command(unknown[1], re.findall(r"[\w-]+", unknown[2]), self.prog)
        super().error(message)


def unknown_command(typed: str, names: list[str], program: str) -> str:
    """Return the sentences about a command that does not exist."""
    import difflib  # takes 10 ms, which the other commands spare

    begun = [name for name in names if typed and name.startswith(typed)]
    near = begun or difflib.get_close_matches(typed, names, n=1, cutoff=0.6)
    meant = f"Did you mean {program} {near[0]}?" if near else "cancorderctl help lists the commands."
    return f'there is no command "{typed}". {meant}'
