"""Which group or rule opens a device to the user that the daemon runs as."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def remedy(path: str, rule: str = "") -> str:
    """One sentence for a device node that may not be opened: who may, and what to do about it.

    `rule` is the udev rule to recommend, for nodes whose name changes.
    """
    rule = rule or f'KERNEL=="{os.path.basename(path)}", GROUP="dialout", MODE="0660"'
    user = _name(pwd.getpwuid, os.geteuid(), 0)
    try:
        status = os.stat(path)
    except OSError:
        return f"no permission for {path} as user {user}. Run the daemon as a user who may open it."
    group = _name(grp.getgrgid, status.st_gid, 0)
    if status.st_gid and status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP:
        return (
            f"no permission for {path} as user {user}. "
            f"Add {user} to its group and restart the daemon: usermod -aG {group} {user}"
        )
    return (
        f"no permission for {path} as user {user}: its group {group} may not read and write it. "
        f"Add a udev rule such as {rule}"
    )


def _name(lookup: object, number: int, field: int) -> str:
    try:
        return str(lookup(number)[field])  # type: ignore[operator]
    except KeyError:
        return str(number)
