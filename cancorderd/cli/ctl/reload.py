"""`cancorderctl reload`: apply the edited configuration, or show the effect."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.control.protocol import ReloadAnswer, ReloadDone


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "reload",
        "apply the edited configuration",
        run,
        ("reload --dry-run", "show the effect"),
        ("reload", "returns when the changes are in effect"),
    )
    parser.add_argument("--dry-run", action="store_true", help="show the effect, change nothing")
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    answer = ControlClient(options.socket).reload(dry_run=options.dry_run)
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        _print_answer(answer, dry_run=options.dry_run)
    return Exit.DONE if answer["done"] else Exit.FAILED


def apply(client: ControlClient) -> int:
    """Reload, and print what has changed; return the exit status."""
    answer = client.reload()
    _print_answer(answer, dry_run=False)
    return Exit.DONE if answer["done"] else Exit.FAILED


def _print_answer(answer: ReloadAnswer, *, dry_run: bool) -> None:
    if "problems" in answer:
        print(*answer["problems"], "Nothing was changed.", sep="\n", file=sys.stderr)
    else:
        print(_changes(answer, dry_run=dry_run), flush=True)
        for bus in answer["undone"]:
            print(f"{bus['name']}: {bus['state']}: {bus['reason']}", file=sys.stderr)
        if answer["undone"]:
            print("The other changes are in force.", file=sys.stderr)


def _changes(answer: ReloadDone, *, dry_run: bool) -> str:
    lines = []
    for change in answer["changes"]:
        keys = f" ({', '.join(change['keys'])})" if change["keys"] else ""
        lines.append(f"{change['bus']}: {change['kind']}{keys}")
    lines += answer["notes"]
    if dry_run:
        lines.append("Nothing was changed (--dry-run).")
    return "\n".join(lines) or "No buses."
