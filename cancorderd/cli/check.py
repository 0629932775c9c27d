"""`cancorderctl check`: what is wrong with a configuration file, without the daemon."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.config.load import ConfigurationError, load
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    problems: list[str] = []
    names: list[str] = []
    try:
        names = [bus.name for bus in load(options.file).buses]
    except ConfigurationError as error:
        problems = [str(problem) for problem in error.problems]
    if options.json:
        print(json.dumps({"file": options.file, "buses": names, "problems": problems}, indent=2))
    elif problems:
        print(*problems, sep="\n", file=sys.stderr)
    else:
        print(f"{options.file}: {len(names)} bus{'' if len(names) == 1 else 'es'}: no mistakes.")
    return Exit.FAILED if problems else Exit.DONE
