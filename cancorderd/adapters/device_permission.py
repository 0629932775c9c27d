"""The reason and the remedy if the user that the daemon runs as may not open a device."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def forbidden_reason(path: str, rule: str = "") -> str:
    """Return which permission the device node lacks, and the group or udev rule that grants it.

    `rule` is the udev rule to recommend for a node whose name changes.
    """
    rule = rule or f'KERNEL=="{os.path.basename(path)}", GROUP="dialout", MODE="0660"'
    user = user_name(os.geteuid())
    try:
        status = os.stat(path)
    except OSError:
        return f"no permission for {path} as user {user}. Run the daemon as a user who may open it."
    group = _group_name(status.st_gid)
    if status.st_gid and status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP:
        return (
            f"no permission for {path} as user {user}. "
            f"Add {user} to its group and restart the daemon: usermod -aG {group} {user}"
        )
    return (
        f"no permission for {path} as user {user}: its group {group} may not read and write it. "
        f"Add a udev rule such as {rule}"
    )


def user_name(number: int) -> str:
    """Return the name of a user, or the number of one who has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
