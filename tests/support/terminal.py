"""`cancorderctl` on a terminal, as a person runs it."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, TypeAlias

import pexpect

from tests.support.harness import PATIENCE_S, ROOT

if TYPE_CHECKING:
    from tests.support.harness import Daemon

Spawn: TypeAlias = "pexpect.spawn[str]"
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command_line(daemon: Daemon, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", str(daemon.socket), *arguments]


def spawn(words: list[str], *, size: tuple[int, int] = (120, 30), **variables: str) -> Spawn:
    """Run a command on a terminal of this width and height, with these environment variables."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    environment |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | variables
    return pexpect.spawn(
        words[0], words[1:], env=environment, cwd=str(ROOT), encoding="utf-8", dimensions=(size[1], size[0]),
        timeout=PATIENCE_S,
    )  # fmt: skip


def run(words: list[str], *, size: tuple[int, int] = (120, 30), **variables: str) -> tuple[str, int]:
    """Run a command that ends by itself; return its output, with control sequences, and its exit status."""
    return end_of(spawn(words, size=size, **variables))


def end_of(child: Spawn) -> tuple[str, int]:
    """Wait for the end of a command; return the rest of its output and its exit status."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, f"ended by signal {child.signalstatus}"
    return str(child.before).replace("\r\n", "\n"), child.exitstatus


def plain(text: str) -> str:
    """Return the text without control sequences."""
    return _CONTROLS.sub("", text)
