"""Facts about this machine for the metrics: its clock, and the space for recordings.

Each may wait, for a service or a file system: they are looked up in the background, at most every half minute, and
whoever asks gets the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from typing import TYPE_CHECKING

from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.web.metrics import HostFacts

if TYPE_CHECKING:
    from cancorderd.control.protocol import StatusAnswer

_EVERY_S = 30.0
_WITHIN_S = 5.0
_CLOCK = (
    *("busctl", "--timeout=2", "get-property", "org.freedesktop.timedate1", "/org/freedesktop/timedate1"),
    *("org.freedesktop.timedate1", "NTPSynchronized"),
)
_TIMEX_BYTES = 512
"""More than struct timex has on any system."""
_MAX_ERROR_AT = 3 * ctypes.sizeof(ctypes.c_long)
"""Offset of `maxerror` in struct timex, behind modes, offset and freq, each as wide as a long (adjtimex(2))."""
_UNSYNCHRONISED = 5
"""TIME_ERROR."""


class HostFactsFinder:
    """Looks the facts up. Create it in a running loop."""

    def __init__(self) -> None:
        self._facts = HostFacts()
        self._looked_s = -_EVERY_S
        self._task: asyncio.Task[None] | None = None
        self._thread = FileThread()

    async def facts(self, status: StatusAnswer | None) -> HostFacts:
        """Return the latest facts; only the first call waits, for a few seconds at most."""
        if time.monotonic() - self._looked_s >= _EVERY_S and (self._task is None or self._task.done()):
            first = self._task is None
            self._looked_s = time.monotonic()
            self._task = asyncio.create_task(self._look(status))
            if first:
                await asyncio.wait([self._task], timeout=_WITHIN_S)
        return self._facts

    async def _look(self, status: StatusAnswer | None) -> None:
        synchronised, max_error_s = _kernel_clock()
        by_service = await _ntp_synchronised()
        free = await self._free_bytes(_folders(status))
        self._facts = HostFacts(synchronised if by_service is None else by_service, max_error_s, free)

    async def _free_bytes(self, folders: set[str]) -> int | None:
        """Return the free bytes of the fullest file system; None if none can be looked at."""
        with contextlib.suppress(NoAnswer, OSError):
            return await self._thread.submit(lambda: _least_free(folders)).answer(_WITHIN_S)
        return None


def _folders(status: StatusAnswer | None) -> set[str]:
    recordings = [bus["recording"] for bus in status["buses"]] if status else []
    return {os.path.dirname(found["file"]) for found in recordings if found and found["file"]}


def _least_free(folders: set[str]) -> int | None:
    free = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found = os.statvfs(folder)
            free.append(found.f_bavail * found.f_frsize)
    return min(free, default=None)


async def _ntp_synchronised() -> bool | None:
    """Return the answer of systemd-timedated (org.freedesktop.timedate1(5)); None without one."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_CLOCK, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return {b"b true": True, b"b false": False}.get(output.strip())


def _kernel_clock() -> tuple[bool | None, float | None]:
    """Return whether the kernel's clock is synchronised, and its largest error; None where it may not be asked.

    The unit's ProtectClock= forbids it (adjtimex is in @clock), macOS has another call.
    """
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError):
        return None, None
    state = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    answer = adjtimex(state)
    if answer < 0:
        return None, None
    max_error_us = ctypes.c_long.from_buffer(state, _MAX_ERROR_AT).value
    return answer != _UNSYNCHRONISED, max_error_us / 1e6
