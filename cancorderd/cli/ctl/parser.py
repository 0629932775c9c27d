"""The parser of `cancorderctl`, put together from its commands."""

from __future__ import annotations

import os

import cancorderd
from cancorderd.cli.ctl import (
    check,
    clients,
    command_help,
    completion,
    config,
    detect,
    discover,
    dump,
    edit,
    events,
    files,
    hub,
    logs,
    reload,
    service,
    start_stop_restart,
    status,
    verify,
    web,
)
from cancorderd.cli.ctl.command_parser import CommandParser
from cancorderd.cli.help_text import HelpFormatter

_EPILOG = """\
examples:
  cancorderctl                     all buses: short for cancorderctl status
  cancorderctl status body --json  one bus, for scripts
  cancorderctl status --watch      live; q quits
  cancorderctl events --follow     events as they happen
  cancorderctl check               is /etc/cancorder.toml valid?
  cancorderctl edit                edit the file, check it, reload
  cancorderctl config body         settings of a bus, and where each comes from
  cancorderctl reload --dry-run    show the effect of a reload
  cancorderctl reload              apply the edited file
  cancorderctl restart body
  cancorderctl detect              list adapters, as tables for the file
  cancorderctl dump body           print frames as candump does
  cancorderctl verify bench        do all test frames arrive, in order and undamaged?
  cancorderctl discover            list the loggers on the network
  cancorderctl hub check           can this gateway forward to its hub?
  cancorderctl files               where the guide, the examples and so on are
  cancorderctl help events         show the help of a command

exit status: 0 done; 1 failed; 2 wrong usage; 3 status: a bus that should run does not, or
is not recorded or forwarded as it should be; 4 no permission; 7 the daemon is not running
"""


def parser() -> CommandParser:
    """Return the parser. The options that it returns have the attribute `run`, the function of the command.

    Without a command, they have none: `command` is None.
    """
    program = CommandParser(
        prog="cancorderctl",
        description="Query and control a running cancorderd.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    program.add_argument(
        "--socket",
        metavar="PATH",
        default=os.environ.get("CANCORDER_SOCKET"),
        help="control socket (default: $CANCORDER_SOCKET, else the service's, else that of your demo)",
    )
    program.add_argument("--version", action="version", version=f"cancorderctl {cancorderd.__version__}")
    commands = program.add_subparsers(dest="command", metavar="COMMAND")
    status.add_parser(commands)
    clients.add_parser(commands)
    events.add_parser(commands)
    reload.add_parser(commands)
    start_stop_restart.add_parsers(commands)
    check.add_parser(commands)
    config.add_parser(commands)
    edit.add_parser(commands)
    logs.add_parser(commands)
    detect.add_parser(commands)
    discover.add_parser(commands)
    dump.add_parser(commands)
    verify.add_parser(commands)
    hub.add_parser(commands)
    web.add_parser(commands)
    files.add_parser(commands)
    service.add_parser(commands)
    completion.add_parser(commands, program)
    command_help.add_parser(commands, program)
    return program
