"""`cancorderctl web`: the password of the page for browsers, and its process under a service manager."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import subcommand
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.protocol import WEB_USER, Exit

if TYPE_CHECKING:
    import argparse
    import pwd

    from cancorderd.cli.ctl.subcommand import Commands


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "web",
        "set the password of the page for browsers",
        run,
        ("sudo cancorderctl web password /etc/cancorder/web.password", "asks for it, and writes the file"),
        ("cancorderctl web serve", "serves the page of a running daemon (for systemd)"),
    )
    parser.add_argument("action", metavar="ACTION", choices=("password", "serve"), help="password or serve")
    parser.add_argument("file", metavar="FILE", nargs="?", help="file that password_file in [web] names")


def run(options: argparse.Namespace) -> int:
    if options.action == "serve":
        return _serve(options)
    if not options.file:
        print_error("the file is missing: cancorderctl web password /etc/cancorder/web.password")
        return Exit.USAGE
    return _password(options.file)


def _serve(options: argparse.Namespace) -> int:
    """Become the web process."""
    from cancorderd.control.client import ControlClient
    from cancorderd.python_command import python_command

    command = python_command("cancorderd.web", "--socket", ControlClient(options.socket).path)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - it is to become this process


def _password(path: str) -> int:
    """Ask for a password twice, or read a line of standard input, and write its file."""
    import getpass

    from cancorderd.web import password as page_password

    if sys.stdin.isatty():
        password = getpass.getpass("Password of the page: ")
        if getpass.getpass("Once more: ") != password:
            print_error("the two differ: nothing was written.")
            return Exit.FAILED
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not page_password.SHORTEST <= len(password) <= page_password.LONGEST:
        limits = f"{page_password.SHORTEST} to {page_password.LONGEST} characters"
        print_error(f"a password has {limits}: nothing was written.")
        return Exit.FAILED
    line = page_password.line_of(password, os.urandom(page_password.SALT_BYTES))
    try:
        owner = _write(path, f"{line}\n")
    except PermissionError:
        print_error(f"no permission to write {path}. Run it again with sudo.")
        return Exit.NO_PERMISSION
    except OSError as error:
        print_error(f"{path} cannot be written: {error.strerror}.")
        return Exit.FAILED
    print(
        f'Wrote {path}, readable for {owner}. Name it in [web]: password_file = "{os.path.abspath(path)}"; then restart '
        "cancorderd, or its service cancorder-web.",
        file=sys.stderr,
    )
    return Exit.DONE


def _write(path: str, text: str) -> str:
    """Replace the file as a whole, and return the user who may read it. Raises OSError."""
    import tempfile

    descriptor, temporary = tempfile.mkstemp(prefix=".web", dir=os.path.dirname(os.path.abspath(path)))
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        owner = _reader()
        if owner:
            os.chown(temporary, owner.pw_uid, owner.pw_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return owner.pw_name if owner else "you"


def _reader() -> pwd.struct_passwd | None:
    """Return the user of the web process, if only root is to write the file; else None."""
    import pwd

    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(WEB_USER)
    except KeyError:
        return None
