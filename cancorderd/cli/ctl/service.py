"""`cancorderctl service`: makes the installation that it runs from a service of this system, and undoes that."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.cli.help_text import HelpFormatter
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands
    from cancorderd.installation.environment import Environment
    from cancorderd.installation.service_files import ServiceFiles

_EPILOG = """\
examples:
  sudo /opt/cancorderd/bin/cancorderctl service install
  sudo cancorderctl service uninstall
"""
_SUMMARY = "make this installation a service of the system, or undo that"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "service",
        help=_SUMMARY,
        description=f"{_SUMMARY[:1].upper()}{_SUMMARY[1:]}.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    install = subcommand.add_command(
        actions,
        "install",
        "write units, users and udev rules for the environment that this command runs from, and start the service",
        run_install,
        ("sudo /opt/cancorderd/bin/cancorderctl service install", "again after each upgrade"),
        ("cancorderctl service install --root image", "for a system that is built in a folder"),
    )
    uninstall = subcommand.add_command(
        actions,
        "uninstall",
        "stop the service and remove what `service install` wrote, without configuration and recordings",
        run_uninstall,
        ("sudo cancorderctl service uninstall", ""),
    )
    uninstall.add_argument(
        "--purge", action="store_true", help="remove configuration, recordings and users, too"
    )
    for action in (install, uninstall):
        action.add_argument(
            "--root",
            metavar="FOLDER",
            default="/",
            help="only change files, below this folder; start nothing",
        )
        subcommand.add_json(action)


def run_install(options: argparse.Namespace) -> int:
    if sys.platform == "darwin":
        _become_launchd_script(sys.executable)
    from cancorderd.installation import product_files, service_files, system

    environment = _environment()
    _refuse_beside_a_package(options.root)
    _refuse_what_the_service_cannot_read(environment)
    files = _service_files(environment)
    _require_root(options.root, environment, "install")
    os.umask(0o022)  # for everyone to read, whatever the administrator's own files are to be
    try:
        written = service_files.write(files, options.root, product_files.text("example"))
    except service_files.ForeignFilesError as error:
        raise ControlError(
            f"{error}: not written by this command, so it is left alone and nothing was changed. Remove it first.",
            Exit.FAILED,
        ) from None
    except OSError as error:
        raise _not_changed(error) from error
    problems = system.prepare() if options.root == "/" else []
    running = options.root == "/" and system.is_running()
    if running and (problem := system.start()):
        problems.append(f"{problem} See: cancorderctl check; journalctl -u cancorderd")
    if running:
        text = f"The service runs from {environment.prefix}. See: cancorderctl status"
    else:
        text = f"The service is installed from {environment.prefix}; it starts with the system."
    return _report(options, "written", written, problems, text)


def run_uninstall(options: argparse.Namespace) -> int:
    if sys.platform == "darwin":
        _become_launchd_script("--purge" if options.purge else "--remove")
    from cancorderd.installation import service_files, system

    environment = _environment()
    files = _service_files(environment)
    _require_root(options.root, environment, "uninstall")
    here = options.root == "/"
    installed = service_files.is_installed(options.root)
    if options.purge or not installed:
        _refuse_beside_a_package(options.root)
    problem = system.stop() if here and installed else None
    try:
        removed = service_files.remove(files, options.root)
    except OSError as error:
        raise _not_changed(error) from error
    problems = [problem] if problem else []
    if here:
        problems += system.forget()
        problems += system.purge() if options.purge else []
    if removed:
        text = f"The environment itself remains: {environment.prefix}"
    else:
        text = "There was nothing that `cancorderctl service install` had written."
    return _report(options, "removed", removed, problems, text)


def _environment() -> Environment:
    from cancorderd.installation.environment import NoCommandsError, current

    try:
        return current()
    except NoCommandsError as error:
        raise ControlError(f"{error}: install cancorderd with pip.", Exit.FAILED) from None


def _service_files(environment: Environment) -> ServiceFiles:
    from cancorderd.installation import product_files, service_files

    try:
        return service_files.service_files(
            environment, service_files.read_product(), product_files.manual_pages()
        )
    except (product_files.MissingFileError, OSError) as error:
        raise ControlError(f"{error}", Exit.FAILED) from error


def _refuse_beside_a_package(root: str) -> None:
    from cancorderd.installation.service_files import PACKAGED_UNITS

    for path in PACKAGED_UNITS:
        if os.path.lexists(os.path.join(root, path[1:])):
            raise ControlError(
                f"{path} belongs to a package, which has a service of its own. Remove the package first.",
                Exit.FAILED,
            )


def _refuse_what_the_service_cannot_read(environment: Environment) -> None:
    from cancorderd.installation import elsewhere
    from cancorderd.installation.environment import closed_folder, obstacle

    as_root = os.geteuid() == 0
    reason = obstacle(environment)
    if reason:
        lines = elsewhere.commands(as_root=as_root)
        remedy = (
            "Install it into a folder for all users instead:\n\n  " + "\n  ".join(lines)
            if lines
            else "There is no Python 3.11 or later outside of homes: install one for all users first."
        )
        raise ControlError(f"this installation is in {reason}. {remedy}", Exit.FAILED)
    closed = closed_folder(environment)
    if closed:
        raise ControlError(
            f"{closed} is not open to the user of the service. "
            f"Run: {'' if as_root else 'sudo '}chmod -R o+rX {closed}",
            Exit.FAILED,
        )


def _require_root(root: str, environment: Environment, action: str) -> None:
    if root == "/" and os.geteuid() != 0:
        raise ControlError(
            f"services are for root to change. Run: sudo {environment.commands}/cancorderctl service {action}",
            Exit.NO_PERMISSION,
        )


def _report(options: argparse.Namespace, verb: str, paths: list[str], problems: list[str], text: str) -> int:
    """Print the paths that were written or removed, the problems, and `text` if there are none."""
    if options.json:
        print(json.dumps({verb: paths, "problems": problems}, indent=2))
    else:
        print(*(f"{verb} {path}" for path in paths), *([] if problems else [text]), sep="\n", flush=True)
        for problem in problems:
            print_error(problem)
    return Exit.FAILED if problems else Exit.DONE


def _not_changed(error: OSError) -> ControlError:
    status = Exit.NO_PERMISSION if isinstance(error, PermissionError) else Exit.FAILED
    return ControlError(f"{error.filename}: {error.strerror}.", status)


def _become_launchd_script(argument: str) -> NoReturn:
    """Become the script that installs the service on macOS."""
    from cancorderd.installation import product_files

    script = os.path.join(product_files.location("launchd"), "install")
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", script, argument])  # noqa: S606 - it is to become this process
