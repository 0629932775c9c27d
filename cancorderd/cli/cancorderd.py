"""The command `cancorderd`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import cancorderd
from cancorderd.cli.configuration_file import DEFAULT_FILE, no_mistakes
from cancorderd.cli.standard_streams import discard_output, prepare
from cancorderd.control.protocol import Exit, demo_folder
from cancorderd.standard_error import STANDARD_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.configuration import Configuration
    from cancorderd.supervisor.manager import Manager

_DEMO = "demo"
"""Name of the demo's bus."""
_ANSWER_WITHIN_S = 1.0


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="cancorderd",
        description="Streams every frame of many CAN buses to every analyzer that connects.",
        epilog="SIGHUP reloads the file, SIGTERM stops the daemon. See also: cancorderctl --help",
    )
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=DEFAULT_FILE,
        help="configuration file (default: %(default)s)",
    )
    command.add_argument("--check", action="store_true", help="check the file and exit")
    command.add_argument(
        "--demo", action="store_true", help="serve a simulated bus: needs no file, no hardware and no root"
    )
    command.add_argument(
        "--network", action="store_true", help="with --demo: serve the network, not this machine alone"
    )
    command.add_argument(
        "--example", action="store_true", help="print a commented configuration, to begin with, and exit"
    )
    command.add_argument("--version", action="version", version=f"cancorderd {cancorderd.__version__}")
    return command


def main(arguments: list[str] | None = None) -> int:
    prepare()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough of --check or --help
        discard_output()
        return Exit.DONE
    return status


def _run(arguments: list[str] | None) -> int:
    # A reload requested before the daemon can handle it waits; it would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    if os.getpid() == 1:  # the kernel sends process 1 of a container no signal that it does not handle
        signal.signal(signal.SIGTERM, _end_at_once)
    command = parser()
    options = command.parse_args(arguments)
    if options.example:
        return print_example()
    if options.demo:
        return run_demo(everywhere=options.network)
    if options.network:
        command.error("--network belongs to --demo. For other buses, write listen in the file.")
    configuration = read(options.config, limited=not options.check)
    if configuration is None:
        # For a service manager, a status that makes it wait for a better file; for others, the usual failure.
        return Exit.MISTAKES if "NOTIFY_SOCKET" in os.environ and not options.check else Exit.FAILED
    if options.check:
        print(no_mistakes(options.config, len(configuration.buses)))
        return Exit.DONE
    return run(configuration, os.path.abspath(options.config), ready=lambda _manager: None)


def print_example() -> int:
    from cancorderd.installation import product_files

    try:
        print(product_files.text("example"), end="")
    except product_files.MissingFileError as error:
        print(f"cancorderd: {error}", file=sys.stderr)
        return Exit.FAILED
    return Exit.DONE


def _end_at_once(_number: int, _frame: object) -> NoReturn:
    """End with the status of an end that was asked for: nothing has started yet."""
    raise SystemExit(Exit.DONE)


def read(path: str, *, limited: bool) -> Configuration | None:
    """Return the configuration in `path`, or None after printing every mistake; `limited` in time."""
    from cancorderd.config.problem import ConfigurationError

    try:
        return _load_for_daemon(path) if limited else _load_here(path)
    except ConfigurationError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        if _is_missing(path):
            print("To try it without a file: cancorderd --demo", file=sys.stderr)
        return None


def _load_for_daemon(path: str) -> Configuration:
    """Load in a process of its own. Its libraries and those of the daemon are imported at the same time."""
    from cancorderd.config.load_process import LoadProcess

    loading = LoadProcess(path)
    import cancorderd.daemon  # noqa: F401

    return loading.wait()


def _load_here(path: str) -> Configuration:
    from cancorderd.config.missing_packages import load_with_packages

    return load_with_packages(path, pipe=True)


def _is_missing(path: str) -> bool:
    """Return whether there is no such file; False if the file system does not answer."""
    from cancorderd.file_thread import FileThread, NoAnswer

    try:
        return not FileThread().submit(lambda: os.path.exists(path)).wait(_ANSWER_WITHIN_S)
    except (NoAnswer, OSError):
        return False


def run(configuration: Configuration, path: str | None, ready: Callable[[Manager], None]) -> int:
    """Run the daemon until SIGTERM; return the exit status."""
    from cancorderd import daemon
    from cancorderd.service import log

    standard_error = sys.stderr
    output = log.set_up(configuration.daemon.log_level)
    try:
        if not configuration.buses:
            daemon.log.warning(
                "%s has no [bus.NAME] table: nothing is served until a table is added and the file reloaded",
                path,
            )
        failure = daemon.run(configuration, path, output, ready)
    finally:
        output.close()
        sys.stderr = standard_error
    if failure:
        print(failure, file=sys.stderr)
        return Exit.FAILED
    return Exit.DONE


def run_demo(*, everywhere: bool) -> int:
    """Serve a simulated bus until SIGTERM or Ctrl+C; return the exit status. `everywhere`: to the network, too."""
    from cancorderd.config.demo import demo

    folder = demo_folder(os.geteuid())
    problem = _make_private(folder)
    if problem:
        print(f"{problem} Set XDG_RUNTIME_DIR to a folder of your own.", file=sys.stderr)
        return Exit.FAILED
    socket = f"{folder}/control.sock"
    with contextlib.suppress(OSError):
        os.unlink(f"{folder}/ports.toml")  # an earlier demo's port may be another program's by now
    configuration = demo(socket, folder, listen=None if everywhere else _loopback_addresses())
    return run(
        configuration,
        None,
        ready=lambda manager: _print_how_to_connect(manager, socket, everywhere=everywhere),
    )


def _loopback_addresses() -> tuple[str, ...]:
    """Return the addresses of this machine for itself: IPv6 may be off."""
    import socket

    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return ("127.0.0.1",)
    return ("127.0.0.1", "::1")


def _make_private(folder: str) -> str:
    """Make a folder that only this user can enter; return the problem, if there is any."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        owner = os.stat(folder).st_uid
    except OSError as error:
        return f"{folder}: {error.strerror}."
    return "" if owner == os.geteuid() else f"{folder} belongs to another user."


def _print_how_to_connect(manager: Manager, socket: str, *, everywhere: bool) -> None:
    """Print in a thread: whoever reads the output may stand still, or be gone, and the bus is served all the same."""
    port = manager.buses[_DEMO].port
    ctl = os.path.join(os.path.dirname(sys.argv[0]), "cancorderctl")
    reach = (
        "It is served to the network."
        if everywhere
        else "It is served to this machine alone; --demo --network opens it to others."
    )
    text = f"""
A simulated bus is served on port {port}. {reach}
In a second terminal:
  {ctl} --socket {socket} dump {_DEMO}
  {ctl} --socket {socket} status
In CANcorder: protocol ECUconnect Logger, host {"the name of this machine" if everywhere else "localhost"}, port {port}
Ctrl+C ends the demo.

"""

    def write() -> None:
        with contextlib.suppress(OSError):
            os.write(STANDARD_OUTPUT, text.encode(sys.stdout.encoding, "replace"))

    threading.Thread(target=write, name="how to connect", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
