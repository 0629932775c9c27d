"""Files that a table names, such as passwords and certificates: whether they exist, and whether others may read them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cancorderd.config.problem import shortened, written
from cancorderd.config.validation import Finding
from cancorderd.hidden_folders import remedy_if_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SECRETS = frozenset({"credentials", "password_file", "key"})
FILES = (*sorted(SECRETS), "ca", "certificate")
"""Keys whose values are paths of such files."""


def file_findings(table: Mapping[str, object], names: Iterable[str] = FILES) -> Iterator[Finding]:
    """Yield what is wrong with the files that a table names. A folder that this user may not enter is passed over."""
    for key in names:
        path = table.get(key)
        if isinstance(path, str) and path.startswith("/") and "\0" not in path:
            yield from _findings(key, path)


def _findings(key: str, path: str) -> Iterator[Finding]:
    shown = shortened(written(path))
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return
    except OSError:
        remedy = remedy_if_hidden(path) or "Create it, or correct the path."
        yield Finding((key,), f"there is no file {shown}", remedy)
        return
    if not stat.S_ISREG(mode):
        yield Finding((key,), f"{shown} is not a file", "Name a file.")
    elif key in SECRETS and mode & stat.S_IRWXO:
        fact = f"every user of this machine may read {shown}"
        if not mode & stat.S_IROTH:
            fact = f"every user of this machine may change {shown}"
        yield Finding((key,), fact, f"Run chmod o= {path}; the service reads it as group cancorder.")
