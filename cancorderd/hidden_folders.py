"""Folders that systemd hides from this process: with PrivateTmp and ProtectHome, files there do not exist for a service.

Facts from systemd.exec(5), "Sandboxing", and proc(5), /proc/PID/mountinfo.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOUNTS = "/proc/self/mountinfo"
_OCTAL = re.compile(r"\\([0-7]{3})")
_PRIVATE = "/systemd-private-"
"""Part of the folder that PrivateTmp mounts on /tmp and /var/tmp."""
_INACCESSIBLE = "/systemd/inaccessible/"
"""Folder of /run from which ProtectHome=yes and InaccessiblePaths mount."""
_HOMES = ("/home", "/root", "/run/user")
"""Folders on which ProtectHome=tmpfs mounts an empty one."""


def remedy_if_hidden(path: str) -> str:
    """Return a fact and a remedy if the service cannot see the file of an absolute path; else nothing."""
    fact = service_hides(path)
    return f"{fact} Copy the file to /var/lib/cancorder, and name it there." if fact else ""


def service_hides(path: str) -> str:
    """Return a sentence if an absolute path is in a folder that systemd hides from this process; else nothing."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            folder = hidden_folder(os.path.normpath(path), file)
    except (OSError, ValueError):  # no Linux; no path
        return ""
    if folder is None:
        return ""
    return f"The service cannot see {folder} of this machine (PrivateTmp and ProtectHome of its unit)."


def hidden_folder(path: str, mounts: Iterable[str]) -> str | None:
    """Return the folder around `path` that is not this machine's own, from the lines of mountinfo. Pure."""
    found = None
    for line in mounts:
        fields, _, more = line.partition(" - ")
        _, _, _, root, point, *_ = map(_unescaped, fields.split(" "))
        if path != point and not path.startswith(f"{point.rstrip('/')}/"):
            continue
        hides = _PRIVATE in root or _INACCESSIBLE in root or (point in _HOMES and more.startswith("tmpfs "))
        found = point if hides else None  # the last mount counts
    return found


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
