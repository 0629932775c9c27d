"""The command `cancorderctl`: asks and steers a running daemon.

Imports neither CAN nor configuration libraries, so that `status` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import sys
import time
from typing import Any

import cancorderd
from cancorderd.cli import render
from cancorderd.control import protocol
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit

_EXAMPLES = """\
examples:
  cancorderctl status              all buses
  cancorderctl status body --json  one bus, for scripts
  cancorderctl events --follow     what happens
  cancorderctl check               is /etc/cancorder.toml right?
  cancorderctl reload --dry-run    what would a reload change?
  cancorderctl reload              put the edited file in force
  cancorderctl restart body
  cancorderctl detect              which adapters are there, as tables for the file
  cancorderctl detect --write usb  put those that are new into /etc/cancorder.d/usb.toml

exit status: 0 done; 1 failed; 2 wrong usage; 3 status: a bus that should run does not;
4 no permission; 7 the daemon is not running
"""


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
    status = commands.add_parser("status", help="how the buses are")
    status.add_argument("buses", metavar="BUS", nargs="*", help="these buses only")
    status.add_argument("--json", action="store_true", help="everything, as JSON")
    status.set_defaults(run=show_status)
    clients = commands.add_parser("clients", help="who is connected, and what they lost")
    clients.add_argument("buses", metavar="BUS", nargs="*", help="of these buses only")
    clients.add_argument("--json", action="store_true", help="as JSON")
    clients.set_defaults(run=show_clients)
    events = commands.add_parser("events", help="what happened")
    events.add_argument("buses", metavar="BUS", nargs="*", help="to these buses only")
    events.add_argument("--follow", action="store_true", help="go on with what happens, until Ctrl+C")
    events.add_argument("--json", action="store_true", help="as JSON, one line each")
    events.set_defaults(run=show_events)
    reload = commands.add_parser("reload", help="put the edited configuration in force")
    reload.add_argument("--dry-run", action="store_true", help="only say what would change")
    reload.set_defaults(run=do_reload)
    for verb in protocol.VERBS:
        one = commands.add_parser(verb, help=f"{verb} buses")
        one.add_argument("buses", metavar="BUS", nargs="+")
        one.set_defaults(run=steer)
    check = commands.add_parser(
        "check", help="say what is wrong with a configuration file, without the daemon"
    )
    check.add_argument("file", metavar="FILE", nargs="?", default="/etc/cancorder.toml")
    check.set_defaults(run=do_check)
    _add_detect(commands)
    return made


def _add_detect(commands: Any) -> None:
    detect = commands.add_parser(
        "detect", help="CAN adapters of this machine, as ready [bus.NAME] tables, without the daemon"
    )
    detect.add_argument(
        "--probe",
        metavar="PORT",
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
    detect.set_defaults(run=do_detect)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ControlError as error:
        print(f"cancorderctl: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def show_status(options: argparse.Namespace) -> int:
    status = ControlClient(options.socket).ask("GET", protocol.STATUS)
    status["buses"] = chosen(status["buses"], options.buses)
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        print(render.status_table(status, time.time()))
    return Exit.DONE if render.all_as_wanted(status["buses"]) else Exit.NOT_ALL_RUNNING


def show_clients(options: argparse.Namespace) -> int:
    buses = chosen(ControlClient(options.socket).ask("GET", protocol.STATUS)["buses"], options.buses)
    if options.json:
        print(json.dumps({bus["name"]: bus["clients"] for bus in buses}, indent=2))
    else:
        print(render.clients_table(buses))
    return Exit.DONE


def show_events(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    chosen(client.ask("GET", protocol.STATUS)["buses"], options.buses)
    with contextlib.suppress(KeyboardInterrupt):
        for event in client.events(follow=options.follow):
            if not options.buses or event["bus"] in options.buses:
                print(json.dumps(event) if options.json else render.event_line(event), flush=True)
    return Exit.DONE


def chosen(buses: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """The buses with these names, or all where none is named. Raises ControlError for unknown ones."""
    by_name = {bus["name"]: bus for bus in buses}
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ControlError(
                f"there is no bus {name}.{hint} Buses: {', '.join(by_name) or 'none'}.", Exit.FAILED
            )
    return [by_name[name] for name in names] or buses


def do_reload(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    answer = client.ask("POST", f"{protocol.RELOAD}{'?dry_run=1' if options.dry_run else ''}")
    if "problems" in answer:
        for problem in answer["problems"]:
            print(problem, file=sys.stderr)
        print("Nothing was changed.", file=sys.stderr)
        return Exit.FAILED
    print(render.changes(answer, dry_run=options.dry_run))
    return Exit.DONE


def steer(options: argparse.Namespace) -> int:
    client = ControlClient(options.socket)
    chosen(client.ask("GET", protocol.STATUS)["buses"], options.buses)
    for name in options.buses:
        answer = client.ask("POST", protocol.bus_path(name, options.command))
        reason = f": {answer['reason']}" if answer["reason"] else ""
        print(f"{name}: {answer['state']}{reason}")
    return Exit.DONE


def do_check(options: argparse.Namespace) -> int:
    # Here, since it takes longer to load than everything else that this command does.
    from cancorderd.config.load import ConfigurationError, load  # noqa: PLC0415

    try:
        configuration = load(options.file)
    except ConfigurationError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return Exit.FAILED
    count = len(configuration.buses)
    print(f"{options.file}: {count} bus{'' if count == 1 else 'es'}: no mistakes.")
    return Exit.DONE


def do_detect(options: argparse.Namespace) -> int:
    from cancorderd.cli import detect  # noqa: PLC0415 - loads drivers' libraries

    return detect.run(options)


if __name__ == "__main__":
    sys.exit(main())
