"""What `cancorderctl` understands: its commands, their options, and examples of each.

Each command names a module of this package, which has `run(options) -> int` (the exit status) and is
loaded only when its command is given: this one stays light.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, NoReturn

import cancorderd
from cancorderd.cli import command
from cancorderd.control import protocol

_EXAMPLES = """\
examples:
  cancorderctl status              all buses
  cancorderctl status body --json  one bus, for scripts
  cancorderctl status --watch      live; q ends it
  cancorderctl events --follow     what happens
  cancorderctl check               is /etc/cancorder.toml right?
  cancorderctl reload --dry-run    what would a reload change?
  cancorderctl reload              put the edited file in force
  cancorderctl restart body
  cancorderctl detect              which adapters are there, as tables for the file
  cancorderctl dump body           its frames, as candump prints them
  cancorderctl discover            loggers on the network
  cancorderctl help events         more about one command

exit status: 0 done; 1 failed; 2 wrong usage; 3 status: a bus that should run does not;
4 no permission; 7 the daemon is not running
"""
_COMPLETED = (
    "cancorderctl",
    "cancorderd",
    "cancorder-canlogger",
    "cancorder-rusoku-canlogger",
    "cancorder-mock-uds-canlogger",
)
_VERBS = {
    "start": ("start buses that are stopped, or that have failed", "start body"),
    "stop": ("stop buses, until they are started or the daemon is", "stop body bench"),
    "restart": ("open the adapters of buses anew; their clients stay connected", "restart body"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="cancorderctl",
        description="Asks and steers cancorderd.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--socket",
        metavar="PATH",
        default=os.environ.get("CANCORDER_SOCKET"),
        help="control socket (default: $CANCORDER_SOCKET, else the service's, else that of your demo)",
    )
    made.add_argument("--version", action="version", version=f"cancorderctl {cancorderd.__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_status(commands)
    _add_clients(commands)
    _add_events(commands)
    _add_reload(commands)
    _add_verbs(commands)
    _add_check(commands)
    _add_detect(commands)
    _add_discover(commands)
    _add_dump(commands)
    _add_completion(commands)
    _add_help(commands)
    return made


def _add_status(commands: Any) -> None:
    status = command.add(
        commands,
        "status",
        "how the buses are",
        ("status", "all buses"),
        ("status body --json", "one bus, for scripts"),
        ("status --watch", "live; q or Ctrl+C ends it"),
        ("status --watch --json --interval 10", "one line of JSON every ten seconds"),
    )
    status.add_argument("buses", metavar="BUS", nargs="*", help="these buses only")
    status.add_argument("--json", action="store_true", help="everything, as JSON")
    status.add_argument(
        "--watch",
        action="store_true",
        help="again and again: a live page on a terminal, else tables or JSON lines",
    )
    status.add_argument(
        "--interval",
        metavar="SECONDS",
        type=command.seconds,
        default=1.0,
        help="with --watch: every so many seconds (default: 1)",
    )


def _add_clients(commands: Any) -> None:
    clients = command.add(
        commands,
        "clients",
        "who is connected, and what they lost",
        ("clients", "of all buses"),
        ("clients body", "of one"),
    )
    clients.add_argument("buses", metavar="BUS", nargs="*", help="of these buses only")
    clients.add_argument("--json", action="store_true", help="as JSON")


def _add_events(commands: Any) -> None:
    events = command.add(
        commands,
        "events",
        "what happened",
        ("events body", "to one bus, lately"),
        ("events --follow", "and what happens, until Ctrl+C"),
        ("events --follow --json", "for scripts: one object for each line"),
    )
    events.add_argument("buses", metavar="BUS", nargs="*", help="to these buses only")
    events.add_argument("--follow", action="store_true", help="go on with what happens, until Ctrl+C")
    events.add_argument("--json", action="store_true", help="as JSON, one line each")


def _add_reload(commands: Any) -> None:
    reload = command.add(
        commands,
        "reload",
        "put the edited configuration in force",
        ("reload --dry-run", "what would change?"),
        ("reload", "change it; waits until that is done"),
    )
    reload.add_argument("--dry-run", action="store_true", help="only say what would change")
    reload.add_argument("--json", action="store_true", help="as JSON")


def _add_verbs(commands: Any) -> None:
    for verb in protocol.VERBS:
        what, example = _VERBS[verb]
        one = command.add(commands, verb, what, (example, ""), module="steer")
        one.add_argument("buses", metavar="BUS", nargs="+", help="bus, as status names it")
        one.add_argument("--json", action="store_true", help="the states that they are in then, as JSON")


def _add_check(commands: Any) -> None:
    check = command.add(
        commands,
        "check",
        "say what is wrong with a configuration file, without the daemon",
        ("check", "the file of the service"),
        ("check new.toml", "another one, before it is put in place"),
    )
    check.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="/etc/cancorder.toml",
        help="file to check (default: %(default)s)",
    )
    check.add_argument("--json", action="store_true", help="as JSON")


def _add_detect(commands: Any) -> None:
    detect = command.add(
        commands,
        "detect",
        "list the CAN adapters of this machine as ready [bus.NAME] tables, without the daemon",
        ("detect", "adapters, and tables for the file"),
        ("detect --probe", "also ask serial ports that no list knows"),
        ("detect --write usb", "put those that are new into /etc/cancorder.d/usb.toml"),
    )
    detect.add_argument(
        "--probe",
        metavar="DEVICE",
        nargs="*",
        help="ask the serial ports on USB, and these, whether they are slcan adapters: sends them V; "
        "some boards restart when their port is opened",
    )
    detect.add_argument("--all", action="store_true", help="also python-can's interfaces without hardware")
    detect.add_argument("--json", action="store_true", help="everything, as JSON")
    detect.add_argument(
        "--write", metavar="NAME", help="write what is new to NAME.toml in the folder of drop-ins"
    )
    detect.add_argument(
        "--folder", metavar="PATH", default="/etc/cancorder.d", help="that folder (default: %(default)s)"
    )
    detect.add_argument(
        "--config",
        metavar="FILE",
        default="/etc/cancorder.toml",
        help="whose buses are known already (default: %(default)s)",
    )


def _add_discover(commands: Any) -> None:
    discover = command.add(
        commands,
        "discover",
        "list the loggers on the network, ours and others, as Zeroconf tells of them",
        ("discover", "listens for three seconds"),
        ("discover --timeout 10", "on a slow network"),
        ("discover --json", "everything that they say about themselves"),
    )
    discover.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=command.seconds,
        default=3.0,
        help="how long to listen (default: 3)",
    )
    discover.add_argument("--json", action="store_true", help="everything, as JSON")


def _add_dump(commands: Any) -> None:
    dump = command.add(
        commands,
        "dump",
        "print frames as candump does, until Ctrl+C",
        ("dump body", "a bus of this machine"),
        ("dump body bench -t a", "two of them, with time stamps"),
        ("dump body,7E0:7F0,123:7FF", "only these ids"),
        ("dump body,123~7FF", "all but this id"),
        ("dump rack.local:42420 -L >drive.log", "another machine's, as a log for canplayer and others"),
        ('dump "zeroconf:body"', "by a name that discover shows"),
        ("dump body --decode car.dbc", "with the signals' names and values"),
    )
    dump.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="BUS of this machine, HOST:PORT or zeroconf:NAME; behind it candump's filters, each after a comma: "
        "ID:MASK passes ids that equal ID in the bits of MASK, ID~MASK all others, j wants all filters to agree; "
        "hexadecimal, eight digits for 29-bit ids",
    )
    form = dump.add_mutually_exclusive_group()
    form.add_argument("-L", "--log", action="store_true", help="as candump's log files have it")
    form.add_argument("--json", action="store_true", help="as JSON, one line each")
    dump.add_argument(
        "-t",
        "--timestamp",
        metavar="TYPE",
        choices=("a", "A", "d", "z"),
        default="",
        help="begin lines with a time stamp: a absolute, A with the date, d since the frame before, "
        "z since the first one",
    )
    dump.add_argument("-n", "--count", metavar="COUNT", type=command.count, help="end after so many frames")
    dump.add_argument(
        "--decode",
        metavar="FILE",
        action="append",
        default=[],
        help="add the signals of a DBC, KCD, SYM or ARXML file; may be given several times",
    )


def _add_completion(commands: Any) -> None:
    completion = command.add(
        commands,
        "completion",
        "print what makes a shell complete commands, options and names of buses",
        ('eval "$(cancorderctl completion bash)"', "in ~/.bashrc"),
        ('eval "$(cancorderctl completion zsh)"', "in ~/.zshrc, behind compinit"),
        ("completion fish >~/.config/fish/completions/cancorderctl.fish", ""),
        ("completion bash cancorderd", "for the daemon's own options"),
    )
    completion.add_argument(
        "shell",
        choices=("bash", "zsh", "fish", "buses"),
        help="shell to print it for; buses prints the names that are completed",
    )
    completion.add_argument(
        "program",
        nargs="?",
        choices=_COMPLETED,
        default="cancorderctl",
        help="program to complete (default: %(default)s)",
    )


def _add_help(commands: Any) -> None:
    about = command.add(
        commands, "help", "show this help, or that of a command", ("help events", ""), module="arguments"
    )
    names = tuple(commands.choices)
    about.add_argument("about", metavar="COMMAND", nargs="?", choices=names, help="command to tell about")


def run(options: argparse.Namespace) -> NoReturn:
    """`cancorderctl help [COMMAND]`: what --help of that command prints."""
    parser().parse_args([*([options.about] if options.about else []), "--help"])
    raise AssertionError("--help ends the program")
