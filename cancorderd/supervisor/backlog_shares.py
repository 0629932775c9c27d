"""The memory for the backlogs of slow clients: how much there is for all buses, and how much for each."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_PART = 8
"""By default, all backlogs together may take this part of the memory: most of it is for others."""
_UNKNOWN_MEMORY = 1 << 30
_LIMITS = {"": ("memory.max", "memory.high"), "memory": ("memory.limit_in_bytes",)}
"""Files with the limits of a cgroup, by controller in /proc/self/cgroup: of version 2, and of version 1 (cgroups(7))."""
_CGROUPS = {"": ("sys/fs/cgroup", "sys/fs/cgroup/unified"), "memory": ("sys/fs/cgroup/memory",)}


def total(configured: int | None) -> int:
    """Return the bytes for all backlogs: `configured`, or by default a part of the memory."""
    return memory() // _DEFAULT_PART if configured is None else configured


def share(total: int, buses: int) -> int:
    """Return the bytes for the backlogs of each of `buses`."""
    return total // max(1, buses)


def memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may use: the machine's, or the cgroup's if that is less."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        machine = 0
    limits = [machine if machine > 0 else _UNKNOWN_MEMORY, *_cgroup_limits(root)]
    return min(limits)


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield every limit of this process's cgroup and of those that contain it; there are none on other systems."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for controller in controllers.split(","):
            for hierarchy in _CGROUPS.get(controller, ()):
                for folder in _with_parents(root / hierarchy, path):
                    for name in _LIMITS[controller]:
                        text = _read(folder / name).strip()
                        if text.isdecimal():  # not "max"
                            yield int(text)


def _with_parents(hierarchy: Path, path: str) -> Iterator[Path]:
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    for length in range(len(parts), -1, -1):
        yield hierarchy.joinpath(*parts[:length])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
