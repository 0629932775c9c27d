"""The command `cancorderctl`: queries and controls a running daemon; alone, it shows the status.

Imports neither CAN nor configuration libraries, so that `status` answers at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl.parser import parser
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.cli.standard_streams import discard_output, prepare
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_INTERRUPTED = 130
"""A shell's status of a program that Ctrl+C ended: 128 and the number of the signal."""


def main(arguments: list[str] | None = None) -> int:
    prepare()
    given = sys.argv[1:] if arguments is None else arguments
    program = parser()
    options = program.parse_args(given)
    alone = options.command is None
    if alone:
        options = program.parse_args([*given, "status"])
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except ControlError as error:
        print_error(str(error))
        return error.status
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        discard_output()
        return Exit.DONE
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        if alone:
            print("cancorderctl help lists the commands.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
