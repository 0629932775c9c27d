"""The command `cancorderd`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import cancorderd
from cancorderd import daemon
from cancorderd.config.load import ConfigurationError, demo, load
from cancorderd.control.protocol import Exit, demo_folder
from cancorderd.service import log

if TYPE_CHECKING:
    from cancorderd.config.model import Configuration
    from cancorderd.supervisor.manager import Manager

DEFAULT_FILE = "/etc/cancorder.toml"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="cancorderd",
        description="Streams every frame of many CAN buses to every analyzer that connects.",
        epilog="SIGHUP reloads the file, SIGTERM ends everything. See also: cancorderctl --help",
    )
    made.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=DEFAULT_FILE,
        help="configuration file (default: %(default)s)",
    )
    made.add_argument("--check", action="store_true", help="say what is wrong with the file, and exit")
    made.add_argument(
        "--demo", action="store_true", help="a simulated bus: needs no file, no hardware and no root"
    )
    made.add_argument("--version", action="version", version=f"cancorderd {cancorderd.__version__}")
    return made


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.demo:
        return run_demo()
    configuration = read(options.config)
    if configuration is None:
        # A service manager is to wait for a better file; to people and scripts this is a failure like others.
        return Exit.MISTAKES if "NOTIFY_SOCKET" in os.environ and not options.check else Exit.FAILED
    if options.check:
        print(f"{options.config}: {described(configuration)}: no mistakes.")
        return Exit.DONE
    return run(configuration, os.path.abspath(options.config), ready=lambda _manager: None)


def read(path: str) -> Configuration | None:
    """The configuration in `path`, or None after every mistake has been printed."""
    try:
        return load(path)
    except ConfigurationError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        if not os.path.exists(path):
            print("To see it work without a file: cancorderd --demo", file=sys.stderr)
        return None


def described(configuration: Configuration) -> str:
    count = len(configuration.buses)
    return f"{count} bus" if count == 1 else f"{count} buses"


def run(configuration: Configuration, path: str | None, ready: object) -> int:
    output = log.set_up(configuration.daemon.log_level)
    if not configuration.buses:
        daemon.log.warning(
            "%s has no [bus.NAME] table: nothing to serve until one is added and reloaded", path
        )
    failure = daemon.run(configuration, path, output, ready)  # type: ignore[arg-type]
    if failure:
        print(failure, file=sys.stderr)
        return Exit.FAILED
    return Exit.DONE


def run_demo() -> int:
    folder = demo_folder(os.geteuid())
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        print(f"{folder}: {error.strerror}. Set XDG_RUNTIME_DIR to a folder of your own.", file=sys.stderr)
        return Exit.FAILED
    if os.stat(folder).st_uid != os.geteuid():
        print(
            f"{folder} belongs to somebody else. Set XDG_RUNTIME_DIR to a folder of your own.",
            file=sys.stderr,
        )
        return Exit.FAILED
    socket = f"{folder}/control.sock"
    with contextlib.suppress(OSError):
        os.unlink(f"{folder}/ports.toml")  # an earlier demo's port may be another program's by now
    return run(demo(socket, folder), None, ready=lambda manager: say_how_to_connect(manager, socket))


def say_how_to_connect(manager: Manager, socket: str) -> None:
    bus = manager.buses["demo"]
    ctl = os.path.join(os.path.dirname(sys.argv[0]), "cancorderctl")
    print(
        f"""
A simulated bus is served on port {bus.port}. Connect with
  CANcorder:           protocol ECUconnect Logger, host localhost, port {bus.port}
  or look at the bytes: nc localhost {bus.port} | xxd
In a second terminal:
  {ctl} --socket {socket} status
Ctrl+C ends the demo.
""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
