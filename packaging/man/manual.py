"""Writes the man pages and the guide's tables of keys: the program behind `build`.

The templates (`*.in`) contain the prose; lines `@NAME@` in them are replaced by text from the programs' parsers and
the configuration's models. The results are kept in the checkout, and a test compares them.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import keys
import options

from cancorderd.cli import cancorderd
from cancorderd.cli.canlogger import canlogger, mock_uds_canlogger, rusoku_canlogger
from cancorderd.cli.ctl.parser import parser as cancorderctl_parser

ROOT = Path(__file__).resolve().parents[2]
MAN = ROOT / "packaging/man"
ONE_BUS_COMMANDS = (canlogger, rusoku_canlogger, mock_uds_canlogger)
_TABLE = re.compile(r"(?<=^<!-- keys )(\w+) -->\n.*?(?=^<!-- /keys -->$)", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"^[ ]*@(\w+)@$", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Return the intended text of every generated file."""
    daemon, control = cancorderd.parser(), cancorderctl_parser()
    return {
        MAN / "cancorderd.8": filled(
            "cancorderd.8.in", SYNOPSIS=options.synopsis_lines(daemon), OPTIONS=options.option_entries(daemon)
        ),
        MAN / "cancorderctl.1": filled(
            "cancorderctl.1.in",
            OPTIONS=options.option_entries(control),
            COMMANDS=options.command_entries(control),
        ),
        MAN / "cancorder.toml.5": filled(
            "cancorder.toml.5.in",
            DAEMON=keys.daemon(),
            FORWARD=keys.forward(),
            WEB=keys.web(),
            EVERY_BUS=keys.every_bus(),
            INTERFACES=keys.interfaces(),
        ),
        **{
            MAN / f"{command.COMMAND}.1": filled(
                f"{command.COMMAND}.1.in",
                SYNOPSIS=options.synopsis_lines(command.parser()),
                OPTIONS=options.option_entries(command.parser()),
                IN_THE_FOREGROUND=filled("in_the_foreground.in").rstrip(),
                EXIT_STATUS=filled("exit_status_of_one_bus.in").rstrip(),
            )
            for command in ONE_BUS_COMMANDS
        },
        **{page: with_tables(page.read_text()) for page in sorted((ROOT / "contrib/guide").rglob("*.md"))},
    }


def filled(template: str, **texts: str) -> str:
    """Return the template with each @NAME@ line replaced. Raises KeyError for a name without text."""
    return _PLACEHOLDER.sub(lambda match: texts[match[1]], (MAN / template).read_text())


def with_tables(text: str) -> str:
    """Return a page of the guide with the text between `<!-- keys NAME -->` and `<!-- /keys -->` replaced."""
    return _TABLE.sub(lambda match: f"{match[1]} -->\n\n{keys.table(match[1])}\n\n", text)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="build", description="Writes the man pages and the guide's tables of keys."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    check = parser.parse_args().check
    outdated = {path: text for path, text in pages().items() if not path.exists() or path.read_text() != text}
    for path, text in outdated.items():
        if not check:
            path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {'out of date: run packaging/man/build' if check else 'written'}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
