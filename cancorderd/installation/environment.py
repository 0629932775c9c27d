"""The Python environment that this process runs from, and whether a service of systemd could run from it, too.

The unit hides homes (ProtectHome=) and has a /tmp of its own (PrivateTmp=); its user has no rights of others.
"""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from typing import NamedTuple

COMMANDS = ("cancorderd", "cancorderctl")
"""Commands of which the units consist."""
_HIDDEN = {
    "/home": "the unit hides homes (ProtectHome)",
    "/root": "the unit hides homes (ProtectHome)",
    "/run/user": "the unit hides homes (ProtectHome)",
    "/tmp": "the unit has a /tmp of its own (PrivateTmp)",  # noqa: S108 - nothing is written there
    "/var/tmp": "the unit has a /var/tmp of its own (PrivateTmp)",  # noqa: S108
}


class NoCommandsError(Exception):
    """The commands are not installed; `str()` says where they were looked for."""


class Environment(NamedTuple):
    """An environment with the commands, such as a virtual environment."""

    prefix: str
    commands: str
    """The folder of the commands."""
    reads: tuple[str, ...]
    """Files and folders that its processes read."""


def current() -> Environment:
    """Return the environment of this process. Raises NoCommandsError."""
    folders = (
        os.path.dirname(os.path.realpath(sys.argv[0])),
        os.path.dirname(os.path.abspath(sys.executable)),
        sysconfig.get_path("scripts"),
    )
    commands = next((folder for folder in folders if _has_commands(folder)), None)
    if commands is None:
        raise NoCommandsError(
            f"the commands of cancorderd are in none of {', '.join(dict.fromkeys(folders))}"
        )
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    python = os.path.realpath(sys.executable)
    searched = (path for path in sys.path if os.path.exists(path))
    return Environment(sys.prefix, commands, (sys.prefix, commands, package, python, *searched))


def obstacle(environment: Environment) -> str | None:
    """Return why a service could not run from the environment, as the rest of a sentence; None if it could."""
    for path in environment.reads:
        reason = hidden(path)
        if reason:
            return f"{path}, which the service could not see: {reason}"
    return None


def hidden(path: str) -> str | None:
    """Return why the service could not see a path; None if it could."""
    real = os.path.realpath(path)
    for folder, reason in _HIDDEN.items():
        if real == folder or real.startswith(f"{folder}/"):
            return reason
    return None


def closed_folder(environment: Environment) -> str | None:
    """Return a file or folder that others may not read or enter, so that the service's user could not."""
    for path in environment.reads:
        real = os.path.realpath(path)
        ancestors = [real]
        while ancestors[-1] != os.path.dirname(ancestors[-1]):
            ancestors.append(os.path.dirname(ancestors[-1]))
        for place in reversed(ancestors):
            if not _is_open(place, is_last=place == real):
                return place
    return None


def _is_open(path: str, *, is_last: bool) -> bool:
    mode = os.stat(path).st_mode
    needed = stat.S_IROTH if is_last else 0
    if stat.S_ISDIR(mode):
        needed |= stat.S_IXOTH
    return mode & needed == needed


def _has_commands(folder: str) -> bool:
    return all(os.access(os.path.join(folder, command), os.X_OK) for command in COMMANDS)
