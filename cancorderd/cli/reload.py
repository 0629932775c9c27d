"""`cancorderctl reload`: puts the edited configuration in force, or says what that would change."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cancorderd.cli import render
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    answer = client.ask("POST", f"{protocol.RELOAD}{'?dry_run=1' if options.dry_run else ''}")
    wrong = "problems" in answer
    if options.json:
        print(json.dumps(answer, indent=2))
    elif wrong:
        print(*answer["problems"], "Nothing was changed.", sep="\n", file=sys.stderr)
    else:
        print(render.changes(answer, dry_run=options.dry_run))
    return Exit.FAILED if wrong else Exit.DONE
