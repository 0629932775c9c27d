"""Completion in real shells, with the names of a running daemon's buses."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Daemon
from tests.support.terminal import command_line, plain, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.terminal import Spawn

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile"], 'eval "$(cancorderctl completion bash)"'),
    "zsh": (["zsh", "-f"], 'autoload -U compinit; compinit -u -D; eval "$(cancorderctl completion zsh)"'),
    "fish": (["fish", "--no-config"], "cancorderctl completion fish | source"),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    buses = '[bus.powertrain]\ninterface = "mock"\n[bus.body]\ninterface = "mock"\n'
    with Daemon(tmp_path_factory.mktemp("daemon"), buses) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def commands(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cancorderctl that queries this daemon."""
    folder = tmp_path_factory.mktemp("bin")
    python, *words = command_line(daemon)
    script = folder / "cancorderctl"
    script.write_text(f'#!/bin/sh\nexec {python} {" ".join(words)} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, commands: Path, tmp_path: Path) -> Iterator[Spawn]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    words, setup = SHELLS[name]
    path = f"{commands}:{os.environ['PATH']}"
    child = spawn(words, PATH=path, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), PS1="$ ")
    child.sendline(f"{setup}; echo read''y")
    child.expect("ready")
    yield child
    child.close(force=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("cancorderctl relo", "cancorderctl reload"),
        ("cancorderctl restart po", "cancorderctl restart powertrain"),
        ("cancorderctl restart powertrain bo", "cancorderctl restart powertrain body"),
        ("cancorderctl dump --dec", "cancorderctl dump --decode"),
        ("cancorderctl check pyproj", "cancorderctl check pyproject.toml"),
    ],
)
def test_tab_completes(shell: Spawn, typed: str, completed: str) -> None:
    shell.send(f"{typed}\t")
    # `echo` shows the completed line, since the movements of the cursor hide the added text.
    shell.send('\x01echo "[\x05]"\r')
    shell.expect(rf"\[ ?{re.escape(completed)} ?\]")


def test_tab_twice_lists_the_buses(shell: Spawn) -> None:
    shell.send("cancorderctl status \t\t")
    found: set[str] = set()
    while found < {"body", "powertrain"}:
        shell.expect("body|powertrain")
        found.add(plain(str(shell.after)))
