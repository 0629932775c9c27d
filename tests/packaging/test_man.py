"""Man pages and completions: they say what the program says, and are written as they should be."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cancorderd.cli import arguments, cancorderd, canlogger, mock_uds_canlogger, rusoku_canlogger
from cancorderd.config.interfaces import SECTIONS
from cancorderd.config.model import Configuration

ROOT = Path(__file__).parents[2]
ONE_BUS = {one.COMMAND: one.parser() for one in (canlogger, mock_uds_canlogger, rusoku_canlogger)}
PAGES = ["cancorder.toml.5", "cancorderctl.1", "cancorderd.8", *(f"{name}.1" for name in ONE_BUS)]
COMPLETIONS = ROOT / "cancorderd/cli/completions"


def shown(name: str) -> str:
    """The page without roff's escapes."""
    text = (ROOT / "packaging/man" / name).read_text()
    return re.sub(r"\\f[BIR]", "", text).replace("\\-", "-").replace("\\(dq", '"')


def test_no_page_lags_behind() -> None:
    done = subprocess.run(
        [ROOT / "packaging/man/build", "--check"],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_key_has_an_entry() -> None:
    entries = set(re.findall(r"^\.TP\n(\w+) \(", shown("cancorder.toml.5"), re.MULTILINE))
    keys = {key for section in SECTIONS for key in section.key_fields()}
    daemon = Configuration().daemon
    assert not (keys | set(type(daemon).model_fields)) - entries


@pytest.mark.parametrize(
    ("page", "parser"),
    [
        ("cancorderd.8", cancorderd.parser()),
        ("cancorderctl.1", arguments.parser()),
        *((f"{name}.1", parser) for name, parser in ONE_BUS.items()),
    ],
)
def test_every_option_is_explained(page: str, parser: object) -> None:
    text = shown(page)
    for option in re.findall(r"--[a-z-]+", parser.format_help()):  # type: ignore[attr-defined]
        assert option in text


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "command", [["groff", "-ww", "-man", "-Tutf8"], ["mandoc", "-Tlint"]], ids=["groff", "mandoc"]
)
def test_nothing_is_found_wrong_with_a_page(page: str, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    done = subprocess.run(
        [*command, ROOT / "packaging/man" / page], capture_output=True, text=True, check=False
    )
    said = done.stderr if command[0] == "groff" else done.stdout + done.stderr
    assert not said


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
def test_completes_in_bash(words: str, offered: set[str], tmp_path: Path) -> None:
    fake = tmp_path / "cancorderctl"
    fake.write_text('#!/bin/sh\n[ "$1" = --socket ] || set -- - x "$@"\n[ "$4" = buses ] && echo body "$2"\n')
    fake.chmod(0o755)
    split = words.split(" ")
    script = (
        f'. "{COMPLETIONS}/$1.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '"_shtab_${1//-/_}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *split],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered, done.stderr
