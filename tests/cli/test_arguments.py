"""What cancorderctl understands, and what its help says of it."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex

import pytest

from cancorderd.cli import arguments
from cancorderd.cli.cancorderctl import main


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = arguments.parser()._actions
    found = next(action.choices for action in actions if action.nargs == argparse.PARSER)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", commands())
def test_each_command_has_a_module_examples_and_help_for_each_argument(name: str) -> None:
    parser = commands()[name]
    module = importlib.import_module(f"cancorderd.cli.{parser.get_default('module')}")
    assert callable(module.run)
    assert "examples:" in (parser.epilog or "")
    assert all(action.help for action in parser._actions)


def examples() -> list[str]:
    epilogs = [arguments.parser().epilog or "", *(parser.epilog or "" for parser in commands().values())]
    return [line for epilog in epilogs for line in re.findall(r"cancorderctl ([^\n]+)", epilog)]


@pytest.mark.parametrize("example", examples())
def test_examples_are_right(example: str) -> None:
    typed = re.split(r"  +| *>|\)\"", example)[0]  # up to the explanation, or to what is the shell's
    arguments.parser().parse_args(shlex.split(typed))


@pytest.mark.parametrize("words", [["help"], ["--help"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "how the buses are" in told
    assert "exit status: 0 done" in told


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["help", "dump"])
    assert "usage: cancorderctl dump" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["paint"],
        ["help", "paint"],
        ["start"],
        ["dump"],
        ["dump", "x", "-n", "0"],
        ["dump", "x", "-L", "--json"],
        ["dump", "x", "-L", "--decode", "y.dbc"],
        ["dump", "x", "-t", "q"],
        ["status", "--watch", "--interval", "0.01"],
        ["status", "--watch", "--interval", "soon"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_usage_is_told_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(words)
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    told = capsys.readouterr()
    assert told.err
    assert not told.out
