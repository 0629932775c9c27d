"""`cancorderctl edit`, `config` and `logs`, with a daemon, an editor that is a script, and a journal that is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import ROOT, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUS = '[bus.m]\ninterface = "mock"\nspeed = 1.0\n'


def edit(daemon: Daemon, script: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    """Edit the daemon's file by a shell script, whose $1 is the file, and give these answers."""
    return subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", daemon.socket, "edit", daemon.file],
        capture_output=True, text=True, cwd=ROOT, check=False, input=answers,
        env={**os.environ, "SUDO_EDITOR": f"sh -c '{script}' sh"},
    )  # fmt: skip


def test_an_edit_is_checked_shown_and_put_in_force(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(BUS)
    running.wait_state("m", "running")
    done = edit(running, 'sed -i "s/speed = 1.0/speed = 2.0/" "$1"', "y\n")
    assert done.returncode == 0, done.stderr
    assert "-speed = 1.0\n+speed = 2.0\n" in done.stdout
    assert "m: restarted (speed)" in done.stdout
    assert "speed = 2.0" in running.file.read_text()
    assert not list(running.file.parent.glob(".*.edited"))


def test_a_mistake_never_comes_into_force(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(BUS)
    before = running.file.read_text()
    line = before.splitlines().index("speed = 1.0") + 1
    wrong = 'sed -i "s/speed = 1.0/speeed = 1.0/" "$1"'
    done = edit(running, wrong, "n\n")
    assert done.returncode == 1
    assert f"{running.file}:{line}: bus.m.speeed: unknown key. Did you mean speed?" in done.stderr
    assert running.file.read_text() == before
    again = edit(
        running, 'grep -q speeed "$1" && sed -i "s/speeed = 1.0/speed = 3.0/" "$1" || ' + wrong, "y\ny\n"
    )
    assert again.returncode == 0, again.stderr
    assert "speed = 3.0" in running.file.read_text()


def test_nothing_happens_without_a_change_an_answer_or_an_editor(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(BUS)
    before = running.file.read_text()
    unchanged = edit(running, "true")
    assert (unchanged.returncode, unchanged.stdout) == (0, "Nothing was changed.\n")
    unanswered = edit(running, 'echo "#" >>"$1"')
    assert (unanswered.returncode, running.file.read_text()) == (0, before)
    failed = edit(running, "exit 3")
    assert failed.returncode == 1
    assert "failed (exit status 3); nothing was changed" in failed.stderr
    assert running.file.read_text() == before


def test_two_edits_at_once_are_refused(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(BUS)
    draft = running.file.with_name(f".{running.file.name}.edited")
    draft.touch()
    done = edit(running, 'echo "#" >>"$1"', "y\n")
    assert done.returncode == 1
    assert f"{draft} exists: somebody edits the file now" in done.stderr


def test_config_shows_each_setting_and_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[defaults]\nbitrate = 250000\n\n[bus.m]\ninterface = "mock"\nspeed = 2.0\n')
    command = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "config", "--config", str(file)]
    text = subprocess.check_output([*command, "m"], text=True, cwd=ROOT)
    rows = {line.partition(" = ")[0]: line.split() for line in text.splitlines()[1:]}
    assert rows["bitrate"] == ["bitrate", "=", "250000", "#", f"{file}:2"]
    assert rows["speed"] == ["speed", "=", "2.0", "#", f"{file}:6"]
    assert rows["loop"][3:] == ["#", "default"]
    found = json.loads(subprocess.check_output([*command, "--json"], text=True, cwd=ROOT))
    assert found["m"]["interface"] == {"value": "mock", "from": f"{file}:5"}
    unknown = subprocess.run([*command, "mm"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert unknown.returncode == 1
    assert "there is no bus mm. Did you mean m?" in unknown.stderr


def test_the_file_of_the_running_daemon_is_meant_if_none_is_named(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    running = daemon(BUS)
    assert f"# {running.file}:" in running.ctl("config", "m").stdout
    assert running.ctl("check").stdout.startswith(f"{running.file}: 1 bus")
    edited = subprocess.run(
        [sys.executable, "-m", "cancorderd.cli.cancorderctl", "--socket", running.socket, "edit"],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "SUDO_EDITOR": "grep -q speed"},
    )  # fmt: skip
    assert (edited.returncode, edited.stdout) == (0, "Nothing was changed.\n"), edited.stderr
    missing = tmp_path / "a b.toml"
    refused = running.ctl("edit", str(missing))
    assert refused.returncode == 1
    assert f"cancorderd --example | sudo tee '{missing}'" in refused.stderr


def test_logs_asks_the_journal_for_the_service_and_the_bus(tmp_path: Path) -> None:
    journalctl = tmp_path / "journalctl"
    journalctl.write_text('#!/bin/sh\necho "$@"\n')
    journalctl.chmod(0o755)
    command = [sys.executable, "-m", "cancorderd.cli.cancorderctl", "logs", "body", "rack", "-f", "-n", "7"]
    text = subprocess.check_output(command, text=True, cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)})
    assert text == "--unit cancorderd --lines 7 --follow CANCORDER_BUS=body CANCORDER_BUS=rack\n"
    without = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "PATH": str(tmp_path / "x")},
    )
    assert without.returncode == 1
    assert "there is no journalctl here" in without.stderr
