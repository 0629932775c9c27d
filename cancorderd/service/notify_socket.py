"""The socket on which a service manager receives notifications (sd_notify(3), a stable protocol).

libsystemd's own function waits if the service manager does not read; here, nothing waits.
"""

from __future__ import annotations

import array
import logging
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("cancorderd")

_MAX_WAITING = 200
"""Notifications for a service manager that does not read; beyond that, the oldest are dropped."""
_MAX_ADDRESS = 107
"""Longest address of a Unix socket in bytes, without the closing zero (unix(7))."""
_TRANSIENT = ("WATCHDOG=", "EXTEND_TIMEOUT_USEC=")
"""Notifications that mean nothing later: they are sent at once or not at all."""
_STATUS = "STATUS="


class _Waiting(NamedTuple):
    """A notification that has not been sent yet, with copies of its descriptors."""

    text: str
    descriptors: list[int]


class NotifySocket:
    """Sends notifications in order. If the service manager does not read, they wait for `flush`."""

    def __init__(self, address: str) -> None:
        """Raises ValueError if `address` is no address of a Unix socket."""
        encoded = os.fsencode(address)
        if encoded[:1] not in (b"/", b"@") or len(encoded) > _MAX_ADDRESS:
            raise ValueError(address)
        self._address = encoded if encoded[:1] == b"/" else b"\0" + encoded[1:]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._waiting: deque[_Waiting] = deque()
        self._dropped = 0
        """Notifications dropped since the last log message about them."""

    def send(self, text: str, descriptors: Sequence[int]) -> None:
        """Send the lines of a notification, with copies of descriptors. Never waits."""
        self.flush()
        if self._waiting and text.startswith(_TRANSIENT):
            return
        if text.startswith(_STATUS):  # a later status line replaces an earlier one
            self._waiting = deque(
                waiting for waiting in self._waiting if not waiting.text.startswith(_STATUS)
            )
        try:
            copies = [os.dup(descriptor) for descriptor in descriptors]
        except OSError:  # this process has too many descriptors
            self._dropped += 1
            return
        self._waiting.append(_Waiting(text, copies))
        self.flush()
        if self._waiting and text.startswith(_TRANSIENT):
            self._waiting.pop()
        while len(self._waiting) > _MAX_WAITING:
            _close_all(self._waiting.popleft().descriptors)
            self._dropped += 1

    def flush(self) -> None:
        """Send the waiting notifications, as far as the service manager reads them."""
        while self._waiting:
            text, descriptors = self._waiting[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                self._socket.sendmsg([text.encode()], rights if descriptors else [], 0, self._address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                pass  # the service manager restarts itself, or is gone
            self._waiting.popleft()
            _close_all(descriptors)
        if self._dropped:
            log.warning("%d notifications were dropped: the service manager did not read them", self._dropped)
            self._dropped = 0

    def close(self) -> None:
        self._socket.close()
        for waiting in self._waiting:
            _close_all(waiting.descriptors)


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
