"""Standard input, output and error, as every command needs them: open, and able to print any text."""

from __future__ import annotations

import io
import os
import sys

_DESCRIPTORS = (0, 1, 2)


def prepare() -> None:
    """Make the three standard streams usable. Called first: before, an opened file could become one of them.

    A closed descriptor is opened on /dev/null: otherwise the next socket would get its number, and receive whatever is
    printed. Characters that the encoding lacks are replaced: a terminal without UTF-8 ends no command.
    """
    for descriptor in _DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open until the end
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # standard error replaces them by itself
        sys.stdout.reconfigure(errors="replace")


def discard_output() -> None:
    """Discard everything that is printed from now on: the reader of standard output is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
