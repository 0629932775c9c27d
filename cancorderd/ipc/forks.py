"""Processes that a driver has forked from a worker in C, which share its sockets.

A fork by Python closes them (`os.register_at_fork`), and so does a program that is started. A fork in C goes on with
copies of everything: clients would not notice the end of the worker, and the port would stay open without anybody who
serves it. Such a process ends with its worker. Linux only: other systems have no /proc.
"""

from __future__ import annotations

import contextlib
import os
import signal

_PROC = "/proc"


def end_forks(worker: int, channel: int) -> list[int]:
    """Kill the processes in the process group of a worker that hold its channel; returns their ids.

    `channel` is the number of the inode of the worker's end. The worker itself is spared.
    """
    try:
        os.killpg(worker, 0)  # a look, without which every end of a worker would cost a search
    except OSError:
        return []
    ended = []
    for pid in _members(worker):
        if pid != worker and _holds(pid, channel):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended


def _members(group: int) -> list[int]:
    try:
        processes = [int(name) for name in os.listdir(_PROC) if name.isdecimal()]
    except OSError:
        return []
    return [pid for pid in processes if _group(pid) == group]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:  # it has ended
        return None


def _holds(pid: int, inode: int) -> bool:
    folder = f"{_PROC}/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{name}") == f"socket:[{inode}]":
                    return True
    return False
