"""`cancorderctl` as a person runs it: on a terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, TypeAlias

import pexpect

from tests.harness import PATIENCE_S, ROOT

if TYPE_CHECKING:
    from tests.harness import Daemon

Spawn: TypeAlias = "pexpect.spawn[str]"
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(daemon: Daemon, *arguments: str) -> list[str]:
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


def shown(words: list[str], *, size: tuple[int, int] = (120, 30), **variables: str) -> tuple[str, int]:
    """What a command that ends by itself writes, controls and all, and its exit status."""
    return ended(spawn(words, size=size, **variables))


def ended(child: Spawn) -> tuple[str, int]:
    """Wait for its end: the rest of what it wrote, and its exit status."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, f"ended by signal {child.signalstatus}"
    return str(child.before).replace("\r\n", "\n"), child.exitstatus


def plain(text: str) -> str:
    """Without what moves the cursor or switches colours."""
    return _CONTROLS.sub("", text)
