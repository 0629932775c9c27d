"""The command `cancorderctl`: asks and steers a running daemon.

Imports neither CAN nor configuration libraries, so that `status` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys

from cancorderd.cli.arguments import parser
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

_INTERRUPTED = 130
"""As a shell has it for a program that Ctrl+C ended (128 and the signal's number)."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    module = importlib.import_module(f"cancorderd.cli.{options.module}")
    try:
        status = int(module.run(options))
        sys.stdout.flush()
    except ControlError as error:
        print(f"cancorderctl: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
