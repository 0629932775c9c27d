"""`cancorderctl edit`: edit the configuration as visudo edits its file: a mistake never comes into force."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import reload, subcommand, terminal
from cancorderd.cli.ctl.service_file import WHICH, service_file
from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse

    from cancorderd.cli.ctl.subcommand import Commands

_EDITORS = ("sensible-editor", "nano", "vim", "vi")
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def add_parser(commands: Commands) -> None:
    parser = subcommand.add_command(
        commands,
        "edit",
        "edit the configuration: check it, show the difference, reload",
        run,
        ("edit", "with $SUDO_EDITOR, $VISUAL, $EDITOR or nano"),
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help=f"file to edit (default: {WHICH})")


def run(options: argparse.Namespace) -> int:
    path = os.path.realpath(service_file(options.file, options.socket))
    draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.edited")
    try:
        before = _read(path)
        with open(draft, "x", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(before)
    except FileExistsError:
        raise ControlError(
            f"{draft} exists: somebody edits the file now, or an edit was cut short. If nobody does, remove it.",
            Exit.FAILED,
        ) from None
    except PermissionError:
        raise ControlError(
            f"no permission to write {path}. Run it again with sudo.", Exit.NO_PERMISSION
        ) from None
    except FileNotFoundError:
        raise ControlError(
            f"there is no {path}. Write it first: cancorderd --example | sudo tee {shlex.quote(path)}; or name another: "
            "cancorderctl edit FILE.",
            Exit.FAILED,
        ) from None
    except OSError as error:
        raise ControlError(
            f"{path} cannot be edited: {error.strerror}. Name another: cancorderctl edit FILE.", Exit.FAILED
        ) from error
    try:
        return _edited(path, draft, before, options.socket)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


def _edited(path: str, draft: str, before: str, socket: str | None) -> int:
    """Edit until the draft is right or given up; then put it in the place of the file, and reload."""
    while True:
        _open_editor(draft)
        after = _read(draft)
        if after == before:
            print("Nothing was changed.")
            return Exit.DONE
        problems = _mistakes(draft, path)
        print(*problems, sep="\n", file=sys.stderr, flush=True)
        _print_difference(before, after, path)
        if problems:
            answer = _ask("The file has mistakes. Edit it again? [Y/n] ", "n")
            if answer == "n":
                print("Nothing was changed.")
                return Exit.FAILED
            continue
        answer = _ask("Put it in force? [Y/n/e] ", "n")
        if answer == "n":
            print("Nothing was changed.")
            return Exit.DONE
        if answer != "e":
            break
    shutil.copymode(path, draft)
    status = os.stat(path)
    os.chown(draft, status.st_uid, status.st_gid)
    os.replace(draft, path)
    return _reload(path, socket)


def _reload(path: str, socket: str | None) -> int:
    client = ControlClient(socket)
    try:
        config = client.status()["config"]
    except ControlError as error:
        if error.status != Exit.NOT_RUNNING:
            raise
        print(f"{path} is written. cancorderd is not running; it reads the file when it starts.")
        return Exit.DONE
    if config is None or os.path.realpath(config) != path:
        print(f"{path} is written. The daemon that runs has another file: {config or 'none, it is a demo'}.")
        return Exit.DONE
    return reload.apply(client)


def _open_editor(path: str) -> None:
    named = next(filter(None, map(os.environ.get, ("SUDO_EDITOR", "VISUAL", "EDITOR"))), None)
    words = shlex.split(named) if named else [next(filter(shutil.which, _EDITORS), "vi")]
    try:
        status = subprocess.run([*words, path], check=False).returncode
    except OSError as error:
        raise ControlError(
            f"the editor {words[0]} cannot be started: {error.strerror}. Set EDITOR to another.", Exit.FAILED
        ) from error
    if status:
        raise ControlError(
            f"the editor {words[0]} failed (exit status {status}); nothing was changed.", Exit.FAILED
        )


def _mistakes(draft: str, path: str) -> list[str]:
    """Return the mistakes in the draft, as mistakes of the file."""
    from cancorderd.config.loading import ConfigurationError
    from cancorderd.config.missing_packages import load_with_packages

    try:
        load_with_packages(draft)
    except ConfigurationError as error:
        return [str(problem).replace(draft, path) for problem in error.problems]
    return []


def _print_difference(before: str, after: str, path: str) -> None:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), path, f"{path} (edited)", lineterm=""
    )
    terminal.print_lines([[(line, _STYLES.get(line[:1], ""))] for line in lines])
    sys.stdout.flush()


def _ask(question: str, without_answer: str) -> str:
    """Return the first letter of the answer in lower case; `without_answer` if nobody can answer."""
    try:
        return input(question).strip().lower()[:1]
    except EOFError:
        print()
        return without_answer


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
