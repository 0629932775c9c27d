"""Failures of a driver's read: when to read on, and when to open the bus again. Pure: the time is an argument.

Many drivers raise at each bus error, at an overrun or at a message that they do not know, and deliver the next frame as if
nothing had happened. Opening such a bus again takes longer than a second and loses the frames meanwhile. Other drivers
raise when their device is gone, either at each read or only once, and then report silence for ever.
"""

from __future__ import annotations

import errno

from cancorderd.adapters.failures import ABSENT

_GONE = ABSENT | {errno.ENETDOWN, errno.ESHUTDOWN, errno.EBADF, errno.EPIPE}
FAILING_S = 1.0
"""If each read fails for this long, reading on does not help."""
SILENT_S = 5.0
"""If no frame arrives for this long after a failure, the driver may be dead; on a silent bus nothing is lost by opening it
again."""
_LONGEST_PAUSE_S = 0.05


def is_gone(error: BaseException) -> bool:
    """Return whether the system itself reports that the device or the connection is gone.

    Only errors of the system count: the codes of manufacturers' libraries have other meanings.
    """
    for found in (error, error.__cause__):
        if isinstance(found, OSError) and (isinstance(found, ConnectionError) or found.errno in _GONE):
            return True
    return False


class ReadFailures:
    """The failures since the last frame. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._last: BaseException | None = None
        self._first_s = self._failing_s = 0.0
        self._in_a_row = 0

    @property
    def pause_s(self) -> float:
        """Pause before the next read: none after a single failure, longer ones if they follow each other."""
        return min(_LONGEST_PAUSE_S, 0.001 * (self._in_a_row - 1)) if self._in_a_row > 1 else 0.0

    def message_arrived(self) -> None:
        """Take note that reading on has helped."""
        self._last = None
        self._in_a_row = 0

    def may_read_on_after(self, error: BaseException, now_s: float) -> bool:
        """Take note of a failure; return whether reading on may help."""
        if self._last is None:
            self._first_s = now_s
        if not self._in_a_row:
            self._failing_s = now_s
        self._last = error
        self._in_a_row += 1
        lasting = now_s - self._failing_s >= FAILING_S or now_s - self._first_s >= SILENT_S
        return not (lasting or is_gone(error))

    def driver_may_be_dead(self, now_s: float) -> BaseException | None:
        """Take note of a read without a message; return the last failure if there was no message for long since then."""
        self._in_a_row = 0
        silent = self._last is not None and now_s - self._first_s >= SILENT_S
        return self._last if silent else None
