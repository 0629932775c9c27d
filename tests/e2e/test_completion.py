"""Completion as a person gets it: in real shells, from the running daemon."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.terminal import command, plain, spawn
from tests.harness import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.terminal import Spawn

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
    """A folder with a cancorderctl that asks this daemon."""
    folder = tmp_path_factory.mktemp("bin")
    python, *words = command(daemon)
    script = folder / "cancorderctl"
    script.write_text(f'#!/bin/sh\nexec {python} {" ".join(words)} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, commands: Path, tmp_path: Path) -> Iterator[Spawn]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here")
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
    # The line is run as it stands then: `echo` shows it, since the cursor's movements hide what was added.
    shell.send('\x01echo "[\x05]"\r')
    shell.expect(rf"\[ ?{re.escape(completed)} ?\]")


def test_tab_twice_offers_the_buses(shell: Spawn) -> None:
    shell.send("cancorderctl status \t\t")
    found: set[str] = set()
    while found < {"body", "powertrain"}:
        shell.expect("body|powertrain")
        found.add(plain(str(shell.after)))
