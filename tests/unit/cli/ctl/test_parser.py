"""The command line of cancorderctl, and its help."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from cancorderd.cli.cancorderctl import main
from cancorderd.cli.ctl.parser import parser

if TYPE_CHECKING:
    from pathlib import Path


def commands(
    program: argparse.ArgumentParser | None = None, before: str = ""
) -> dict[str, argparse.ArgumentParser]:
    """The commands of a program, those of `hub` by both words."""
    choices = next(
        (each.choices for each in (program or parser())._actions if each.nargs == argparse.PARSER), {}
    )
    assert isinstance(choices, dict)
    found: dict[str, argparse.ArgumentParser] = {}
    for name, command in choices.items():
        found |= commands(command, f"{name} ") or {f"{before}{name}": command}
    return found


@pytest.mark.parametrize("name", commands())
def test_command_has_a_function_examples_and_help_for_each_argument(name: str) -> None:
    command = commands()[name]
    assert callable(command.get_default("run"))
    assert "examples:" in (command.epilog or "")
    assert all(action.help for action in command._actions)


@pytest.mark.parametrize("name", sorted(commands().keys() - {"completion", "dump", "edit", "help", "web"}))
def test_command_accepts_json(name: str) -> None:
    assert "--json" in commands()[name].format_help()


def examples() -> list[str]:
    epilogs = [parser().epilog or "", *(command.epilog or "" for command in commands().values())]
    return [line for epilog in epilogs for line in re.findall(r"cancorderctl ([^\n]+)", epilog)]


@pytest.mark.parametrize("example", examples())
def test_example_is_a_valid_command_line(example: str) -> None:
    words = re.split(r"  +| *>|\)\"", example)[0]  # up to the explanation, or to the shell's part
    parser().parse_args(shlex.split(words))


@pytest.mark.parametrize("words", [["help"], ["--help"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    output = capsys.readouterr().out
    assert "Query and control a running cancorderd." in output
    assert "show the state of each bus" in output
    assert "exit status: 0 done" in output


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["help", "dump"])
    assert "usage: cancorderctl dump" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
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
def test_wrong_usage_is_reported_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(words)
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    captured = capsys.readouterr()
    assert captured.err
    assert not captured.out


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("stauts", 'there is no command "stauts". Did you mean cancorderctl status?'),
        ("reloda", 'there is no command "reloda". Did you mean cancorderctl reload?'),
        ("stat", 'there is no command "stat". Did you mean cancorderctl status?'),
        ("frobnicate", 'there is no command "frobnicate". cancorderctl help lists the commands.'),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([typed])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_mistake_shows_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["restart"], ["stop", "--all", "body"], ["dump", "-L", "--decode", "x.dbc", "body"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"usage: cancorderctl {words[0]} ")


def test_alone_it_shows_the_status_and_where_help_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--socket", str(tmp_path / "none")]) == 7
    err = capsys.readouterr().err
    assert "cancorderd is not running" in err
    assert err.endswith("\ncancorderctl help lists the commands.\n")
