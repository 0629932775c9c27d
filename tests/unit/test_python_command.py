"""The command that starts a part of the program as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from cancorderd.python_command import python_command

if TYPE_CHECKING:
    from pathlib import Path


def test_a_module_runs_with_this_python_and_its_arguments_but_without_modules_of_the_current_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a stranger was imported')")
    (tmp_path / "some.json").write_text("[1, 2]")
    command = python_command("json.tool", "--compact", "some.json")
    assert command[0] == sys.executable
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[1,2]", "")
