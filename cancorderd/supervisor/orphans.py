"""Ended processes that nobody waits for: the kernel gives them to process 1, which in a container is this process.

A helper that a driver starts outlives its worker, and a recorder outlives a worker that was killed. Without this, each
would stay in the process table, which is bounded.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PROC = "/proc"


class Orphans:
    """Collects ended children, except those in `own`, for which somebody else here waits."""

    def __init__(self, own: Callable[[], Collection[int]]) -> None:
        self._own = own
        self._seen: set[int] = set()
        """Ended children of the last round. One that is there twice is nobody's, not even of a library here."""

    def collect(self) -> None:
        """Collect the orphans. Called about once a second; does nothing unless this is process 1."""
        if os.getpid() == 1:
            self.collect_ended()

    def collect_ended(self) -> None:
        """Collect ended children that were there at the last call, too."""
        ended = _ended_children().difference(self._own())
        for pid in ended & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended - self._seen


def _ended_children() -> set[int]:
    """Return the ended children without collecting them."""
    try:
        # A look that collects nothing (WNOWAIT), and costs nothing if no child has ended.
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return set()
        return {int(name) for name in os.listdir(_PROC) if name.isdecimal() and _is_ended_child(name)}
    except OSError:  # no children
        return set()


def _is_ended_child(name: str) -> bool:
    """Return whether a folder of /proc stands for an ended child of this process (proc_pid_stat(5))."""
    try:
        with open(f"{_PROC}/{name}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:  # it has been collected
        return False
    return state == b"Z" and int(parent) == os.getpid()
