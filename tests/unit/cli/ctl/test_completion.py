"""Completion scripts. That real shells complete with them, `tests/e2e/test_completion.py` tries."""

from __future__ import annotations

import pytest

from cancorderd.cli.cancorderctl import main
from cancorderd.cli.ctl.completion import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_completes_options_of_the_program(
    shell: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell, program]) == 0
    script = capsys.readouterr().out
    assert program in script
    assert {"cancorderctl": "dry-run", "cancorderd": "demo"}.get(program, "no-zeroconf") in script


def test_hidden_options_are_not_completed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    assert "_shtab_cancorderctl_reload_option_strings=(-h --help --dry-run --json)" in script
