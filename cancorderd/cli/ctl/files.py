"""`cancorderctl files`: where the files are that belong to the product beside its code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit
from cancorderd.installation import product_files

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "files",
        "show where the guide, units, rules, examples and so on are",
        run,
        ("files", "all, with their names"),
        ("files guide", "the path alone, for scripts"),
        ('cp "$(cancorderctl files wireshark)" ~/.local/lib/wireshark/plugins/', ""),
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        choices=[file.name for file in product_files.FILES],
        help="name in the list: print this path alone",
    )
    subcommand.add_json(parser)


def run(options: argparse.Namespace) -> int:
    found = product_files.locations()
    if options.name and options.name not in found:
        raise ControlError(f"this installation has no {options.name}.", Exit.FAILED)
    if options.json:
        print(json.dumps({options.name: found[options.name]} if options.name else found, indent=2))
    elif options.name:
        print(found[options.name])
    else:
        width = max(map(len, found), default=0)
        summaries = {file.name: file.summary for file in product_files.FILES}
        for name, path in found.items():
            print(f"{name:{width}}  {summaries[name]}\n{'':{width}}  {path}")
    return Exit.DONE
