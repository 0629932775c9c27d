"""A source of `cancorderctl dump`: its connection, which may be made again, the filter, and messages about both."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Protocol

from cancorderd.cli.ctl import hub_stream
from cancorderd.cli.ctl.quantities import duration
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.cli.ctl.wait_reminders import WaitReminders
from cancorderd.client import BordersLost
from cancorderd.client.address import ZEROCONF
from cancorderd.protocol.packets import WireError
from cancorderd.protocol.service_names import SERVICE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.cli.ctl.candump_filters import FrameFilter
    from cancorderd.protocol.frame import Frame

RECONNECT_S = 1.0
"""Least time between two connections."""
_POLL_S = 0.1
"""Time between two looks at a connection that is being made. It takes long only if the network does not answer."""
_BY_ITSELF = "(This command does so by itself.)"


class FrameStream(Protocol):
    """An open stream of frames: a `client.Connection`, or a bus at a hub."""

    @property
    def name(self) -> str: ...
    @property
    def packets_repaired(self) -> int: ...
    @property
    def packets_skipped(self) -> int: ...
    @property
    def first_fault(self) -> str: ...
    def fileno(self) -> int: ...
    def receive_available(self) -> list[Frame]: ...
    def close(self) -> None: ...


class DumpSource:
    """A bus or logger, the connection to it, and the filter for its frames."""

    def __init__(
        self,
        name: str,
        filters: FrameFilter,
        connect: Callable[[], FrameStream],
        *,
        database: str | None = None,
        lasting: bool = False,
        why_waiting: Callable[[], str] | None = None,
    ) -> None:
        """Connect; `connect` is called again if the stream is damaged and, with `lasting`, if it ends.

        `why_waiting` returns a sentence while the bus does not run, or "".
        """
        self.database = database
        """Path of the database that the configuration gives the bus, if any."""
        self.name = name
        """The source as it was named on the command line."""
        self.label = _label(name)
        """Name of the source in each line: the bus or the address. Without spaces, which separate a log's columns."""
        self.connection = connect()
        self.ended = False
        """Whether the stream is over, for whatever reason."""
        self.finished = False
        """Whether all frames that were asked for have come."""
        self.away = False
        """Whether the stream is over, and `reconnected` is to be called until there is another."""
        self._filters = filters
        self._connect = connect
        self._lasting = lasting
        self._why_waiting = why_waiting
        self._attempt: _Attempt | None = None
        self._failure = ""
        """Why the last attempt to connect failed."""
        self._gone = False
        """Whether it was said that the source is gone."""
        self._connect_at_s = time.monotonic() + RECONNECT_S
        self._reminders = WaitReminders(time.monotonic())
        self._repaired = self._skipped = 0
        """Odd packets of earlier connections."""
        self._fault_printed = False

    def read(self) -> list[Frame] | None:
        """Return the frames that have arrived and pass the filter; None, after a message, if the stream is over."""
        try:
            frames = self.connection.receive_available()
        except BordersLost as error:
            print_error(f"{error} {_BY_ITSELF}")
            self.away = True
            return None
        except hub_stream.WantedEnd:
            self.ended = self.finished = True
            return None
        except (OSError, WireError) as error:
            self.away = self._gone = self._lasting and isinstance(error, OSError)
            self.ended = not self.away
            print_error(f"{self.label} is gone: {error} {_BY_ITSELF}" if self.away else str(error))
            self._reminders.restart(time.monotonic())
            return None
        if frames:
            self._reminders.restart(time.monotonic())
        if not self._fault_printed and (fault := self.connection.first_fault):
            self._fault_printed = True
            print_error(fault)
        return [frame for frame in frames if self._filters.passes(frame)]

    def next_s(self) -> float:
        """Return the monotonic time at which to call `reconnected` and `remind` again; infinity if they have no use."""
        if self.ended:
            return math.inf
        remind_s = self._reminders.due_s if self.away or self._why_waiting else math.inf
        if not self.away:
            return remind_s
        return min(remind_s, time.monotonic() + _POLL_S if self._attempt else self._connect_at_s)

    def reconnected(self, now_s: float) -> bool:
        """Go on with connecting again, without waiting; return whether there is a connection.

        Sets `ended`, after a message, if it fails and the source is not lasting.
        """
        if self._attempt is None:
            if now_s < self._connect_at_s:
                return False
            self.connection.close()
            self._attempt = _Attempt(self._connect)
        if not self._attempt.done:
            return False
        attempt, self._attempt = self._attempt, None
        self._connect_at_s = now_s + RECONNECT_S
        if attempt.stream is None:
            self._failure = str(attempt.failure)
            if not self._lasting:
                print_error(self._failure)
                self.away, self.ended = False, True
            return False
        self._replace(attempt.stream)
        return True

    def remind(self, now_s: float) -> None:
        """Say again that the source is gone, or why its bus waits, if it is time."""
        if self.ended or now_s < self._reminders.due_s:
            return
        waited = duration(self._reminders.take(now_s))
        if self.away:
            print_error(f"{self.label} has been gone for {waited}: {self._failure}")
        elif self._why_waiting and (why := self._why_waiting()):
            print_error(f"{why} (No frame for {waited}.)")

    def close(self) -> None:
        """Disconnect, and print the number of odd packets."""
        if self._attempt:
            self._attempt.abandon()
        self.connection.close()
        repaired = self._repaired + self.connection.packets_repaired
        skipped = self._skipped + self.connection.packets_skipped
        if repaired or skipped:
            print_error(f"{self.connection.name}: packets repaired: {repaired}, skipped: {skipped}.")

    def _replace(self, stream: FrameStream) -> None:
        self._repaired += self.connection.packets_repaired
        self._skipped += self.connection.packets_skipped
        self.connection = stream
        self.away = False
        self._reminders.restart(time.monotonic())
        if self._gone:
            self._gone = False
            print_error(f"{self.label} is back.")


class _Attempt:
    """A connection that a thread makes, while other sources are read."""

    def __init__(self, connect: Callable[[], FrameStream]) -> None:
        self.stream: FrameStream | None = None
        self.failure: Exception | None = None
        self._connect = connect
        self._lock = threading.Lock()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        self._thread.join(0.01)  # one on this machine is there at once
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Close the connection as soon as it is made."""
        with self._lock:
            self._abandoned = True
            if self.stream:
                self.stream.close()

    def _run(self) -> None:
        try:
            stream = self._connect()
        except Exception as error:  # noqa: BLE001 - it is the failure of this attempt, whatever it is
            self.failure = error
            return
        with self._lock:
            self.stream = stream
            if self._abandoned:
                stream.close()


def _label(name: str) -> str:
    short = name.removeprefix(ZEROCONF).removeprefix(hub_stream.PREFIX).removeprefix(f"{SERVICE_PREFIX} ")
    return "_".join(short.split())
