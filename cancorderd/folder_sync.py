"""Names of files put on the disk, which a file system otherwise does after seconds: a power cut would take them."""

from __future__ import annotations

import contextlib
import os


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the names in a folder on the disk, if its file system has a way. May wait for the disk."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
