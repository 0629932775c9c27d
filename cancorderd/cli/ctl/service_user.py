"""Files that root can read, but not the user as whom the service runs: root would not notice otherwise."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = "cancorder"


class User(NamedTuple):
    """A user of this machine, with the groups that it has."""

    uid: int
    groups: frozenset[int]


def service_user() -> User | None:
    """Return the user of the service, or None if there is none here."""
    import grp
    import pwd

    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        return None
    groups = {group.gr_gid for group in grp.getgrall() if NAME in group.gr_mem}
    return User(found.pw_uid, frozenset({found.pw_gid, *groups}))


def unreadable(paths: Iterable[str], user: User) -> Iterator[str]:
    """Yield a sentence for each file that `user` may not read. Files that do not exist are passed over."""
    for path in paths:
        try:
            folders = [os.stat(folder) for folder in Path(path).resolve().parents]
            file = os.stat(path)
        except OSError:
            continue
        if not all(_may(found, user, stat.S_IXOTH) for found in folders):
            yield f"{path}: the service's user {NAME} may not enter its folder. Move it to /etc/cancorder."
        elif not _may(file, user, stat.S_IROTH):
            yield (
                f"{path}: the service's user {NAME} may not read it. Run chgrp {NAME} {path} && chmod g+r {path}"
            )


def _may(found: os.stat_result, user: User, right: int) -> bool:
    """Whether a user has a right, given as that of others. The kernel looks at the first class that fits only."""
    if found.st_uid == user.uid:
        return bool(found.st_mode & right << 6)
    if found.st_gid in user.groups:
        return bool(found.st_mode & right << 3)
    return bool(found.st_mode & right)
