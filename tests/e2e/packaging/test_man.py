"""Man pages and completions agree with the programs, and are well-formed."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cancorderd.adapters import registry
from cancorderd.cli import cancorderd
from cancorderd.cli.cancorderctl import main as cancorderctl
from cancorderd.cli.canlogger import canlogger, mock_uds_canlogger, rusoku_canlogger
from cancorderd.cli.ctl.parser import parser as cancorderctl_parser
from cancorderd.config.configuration import DaemonSettings
from cancorderd.config.schema import keys

ROOT = Path(__file__).parents[3]
PARSERS = {
    "cancorderd.8": cancorderd.parser(),
    "cancorderctl.1": cancorderctl_parser(),
    **{
        f"{command.COMMAND}.1": command.parser()
        for command in (canlogger, mock_uds_canlogger, rusoku_canlogger)
    },
}
PAGES = ["cancorder.toml.5", *PARSERS]


def text_of(page: str) -> str:
    """Return the page without roff's escapes."""
    text = (ROOT / "packaging/man" / page).read_text()
    return re.sub(r"\\f[BIR]", "", text).replace("\\-", "-").replace("\\(dq", '"')


def test_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [ROOT / "packaging/man/build", "--check"],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_key_has_an_entry() -> None:
    entries = set(re.findall(r"^\.TP\n(\w+) \(", text_of("cancorder.toml.5"), re.MULTILINE))
    kinds = (*registry.settings_classes(), DaemonSettings)
    assert not {key for kind in kinds for key in keys(kind)} - entries


@pytest.mark.parametrize(("page", "parser"), PARSERS.items())
def test_every_option_is_explained(page: str, parser: argparse.ArgumentParser) -> None:
    text = text_of(page)
    for option in re.findall(r"--[a-z-]+", parser.format_help()):
        assert option in text


def every_parser() -> list[argparse.ArgumentParser]:
    """Return the parsers of all programs and of all their commands."""
    found = []
    waiting = list(PARSERS.values())
    while waiting:
        found.append(parser := waiting.pop())
        for action in parser._actions:
            if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
                waiting += action.choices.values()
    return found


def test_help_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parsers = every_parser()
    assert len(parsers) > 25
    wide = [line for parser in parsers for line in parser.format_help().splitlines() if len(line) > 80]
    assert not wide


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "command", [["groff", "-ww", "-man", "-Tutf8"], ["mandoc", "-Tlint"]], ids=["groff", "mandoc"]
)
def test_page_has_no_warnings(page: str, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [*command, ROOT / "packaging/man" / page], capture_output=True, text=True, check=False
    )
    warnings = done.stderr if command[0] == "groff" else done.stdout + done.stderr
    assert not warnings


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("cancorderctl sta", {"start", "status"}),
        ("cancorderctl --s", {"--socket"}),
        ("cancorderctl reload --", {"--dry-run", "--help", "--json"}),
        ("cancorderctl --socket x restart bo", {"body"}),
        ("cancorderctl status ", {"body", "x"}),
        ("cancorderctl status x b", {"body"}),
        ("cancorderctl --socket y status ", {"body", "y"}),
        ("cancorderctl check pyproj", {"pyproject.toml"}),
        ("cancorderctl dump body --decode pyproj", {"pyproject.toml"}),
        ("cancorderctl dump -t ", {"a", "A", "d", "z"}),
        ("cancorderd --de", {"--demo"}),
        ("cancorderd -c pyproj", {"pyproject.toml"}),
        ("cancorder-canlogger --au", {"--auto"}),
        ("cancorder-canlogger -i slc", {"slcan"}),
        ("cancorder-rusoku-canlogger -l pyproj", {"pyproject.toml"}),
        ("cancorder-mock-uds-canlogger --as", {"--async"}),
    ],
)
def test_completes_in_bash(
    words: str, offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = words.split(" ")
    assert cancorderctl(["completion", "bash", split[0]]) == 0
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out)
    fake = tmp_path / "cancorderctl"
    fake.write_text('#!/bin/sh\n[ "$1" = --socket ] || set -- - x "$@"\n[ "$4" = buses ] && echo body "$2"\n')
    fake.chmod(0o755)
    script = (
        f'. "{tmp_path}/completion.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '"_shtab_${1//-/_}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *split],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered, done.stderr
