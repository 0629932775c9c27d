"""Writes the man pages and the completions: what `build` starts.

Prose stands in the templates (`*.in`); what the program says of itself takes the place of the lines
`@NAME@`. All is kept in the checkout, and a test compares, so that it cannot lag behind.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import completion
import keys
import options

from cancorderd.cli import arguments, cancorderd, canlogger, mock_uds_canlogger, rusoku_canlogger

ROOT = Path(__file__).resolve().parents[2]
ONE_BUS = {
    one.COMMAND: one.parser() for one in (canlogger, rusoku_canlogger, mock_uds_canlogger)
}  # commands that are one bus
_PLACE = re.compile(r"^[ ]*@(\w+)@$", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Every file that is written, and what it should hold."""
    daemon, control = cancorderd.parser(), arguments.parser()
    man, completions = ROOT / "packaging/man", ROOT / "cancorderd/cli/completions"
    return {
        man / "cancorderd.8": filled(
            man / "cancorderd.8.in", SYNOPSIS=options.synopsis(daemon), OPTIONS=options.option_entries(daemon)
        ),
        man / "cancorderctl.1": filled(
            man / "cancorderctl.1.in",
            OPTIONS=options.option_entries(control),
            COMMANDS=options.command_entries(control),
        ),
        man / "cancorder.toml.5": filled(
            man / "cancorder.toml.5.in",
            DAEMON=keys.daemon(),
            EVERY_BUS=keys.every_bus(),
            INTERFACES=keys.interfaces(),
        ),
        **{
            completions / f"{program.prog}.{shell}": completion.script(program, shell)
            for program in (control, daemon, *ONE_BUS.values())
            for shell in completion.SHELLS
        },
        **{
            man / f"{name}.1": filled(
                man / f"{name}.1.in",
                SYNOPSIS=options.synopsis_lines(parser),
                OPTIONS=options.option_entries(parser),
            )
            for name, parser in ONE_BUS.items()
        },
    }


def filled(template: Path, **texts: str) -> str:
    """The template with each @NAME@ line replaced. Raises KeyError for a name that has no text."""
    return _PLACE.sub(lambda match: texts[match[1]], template.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(prog="build", description="Writes the man pages and the completion.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page lags behind")
    check = parser.parse_args().check
    behind = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in behind:
        if not check:
            path.write_text(pages()[path])
        print(f"{path.relative_to(ROOT)}: {'lags behind: run packaging/man/build' if check else 'written'}")
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
