"""python-can's way to our ports: `can.Bus(interface="ecuconnect", channel="HOST:PORT")`, for all that uses it.

python-can finds it by the entry point of this package. It only receives.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import can

from cancorderd.client.channel import ZEROCONF, connect_to
from cancorderd.client.discovery import discover
from cancorderd.client.errors import ConnectFailed, DiscoveryFailed
from cancorderd.errors import WireError

if TYPE_CHECKING:
    from can.typechecking import AutoDetectedConfig, CanFilters

    from cancorderd.client.connection import Connection
    from cancorderd.frame import Frame

log = logging.getLogger(__name__)

INTERFACE = "ecuconnect"
_TRY_EVERY_S = 1.0
_DETECT_S = 2.0
"""`can.detect_available_configs()` waits 5 s for its interfaces; loggers that were just asked answer after 1 s."""


class EcuconnectBus(can.BusABC):
    """A bus of a cancorderd, or of any other ECUconnect Logger, to read from.

    There is no `fileno`: frames come many at a time, and a descriptor would not tell of those that wait here.
    A `can.Notifier` reads in a thread, therefore, with asyncio too.
    """

    def __init__(
        self,
        channel: str,
        can_filters: CanFilters | None = None,
        *,
        timeout_s: float = 5.0,
        reconnect: bool = True,
        message_channel: str | int = 0,
        **_: object,
    ) -> None:
        """Connect, within `timeout_s` seconds, to `channel`: "HOST:PORT", "[IPv6]:PORT" or "zeroconf:NAME".

        With `reconnect`, a stream that ends is waited for: it is tried again each second, and `recv` finds no
        message meanwhile; without it, `recv` raises CanOperationError. Messages say `message_channel` as their
        channel, which log files keep: 0 becomes `can0` in a .log, and channel 1 in BLF and ASC. (An address
        would become a number that such files have no room for.)
        Other arguments, such as `bitrate`, are the server's business and have no effect here. `can_filters`
        are applied here.

        Raises CanInitializationError where nothing can be connected to, ValueError where `channel` is neither.
        """
        self._channel = channel
        self._timeout_s = timeout_s
        self._reconnect = reconnect
        self._message_channel = message_channel
        self._stopping = threading.Event()
        self._connected = threading.Event()
        """Set while there is something for `recv` to do, if only to notice `_stopping`."""
        self._connected_at_s = 0.0
        try:
            self._take(connect_to(channel, timeout_s=timeout_s))
        except (ConnectFailed, DiscoveryFailed) as error:
            raise can.CanInitializationError(str(error)) from None
        self._can_protocol = can.CanProtocol.CAN_FD
        self.channel_info = f"{INTERFACE} {channel}"
        super().__init__(channel, can_filters)

    def send(self, msg: can.Message, timeout: float | None = None) -> NoReturn:
        """Raises CanOperationError: the protocol has no way to send."""
        del msg, timeout
        raise can.CanOperationError(
            f"{self.channel_info} is receive-only: its protocol cannot send. Send through the adapter itself."
        )

    @property
    def state(self) -> can.BusState:
        """PASSIVE: what is connected here cannot even acknowledge a frame."""
        return can.BusState.PASSIVE

    @state.setter
    def state(self, new_state: can.BusState) -> None:
        """Raises CanOperationError for anything but PASSIVE."""
        if new_state is not can.BusState.PASSIVE:
            raise can.CanOperationError(
                f"{self.channel_info} is receive-only: its state can only be PASSIVE."
            )

    def shutdown(self) -> None:
        """Disconnect; may be called twice."""
        super().shutdown()
        self._stopping.set()
        if self._connected.is_set():
            self._connection.close()
        self._connected.set()

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not self._connected.wait(timeout):
            return None, False
        try:
            frame = self._connection.receive(timeout)
        except WireError as error:
            raise can.CanOperationError(f"{self.channel_info}: {error}. Correct the address.") from error
        except OSError as error:
            self._lose(error)
            return None, False
        return (None if frame is None else self._message(frame)), False

    def _message(self, frame: Frame) -> can.Message:
        return can.Message(
            timestamp=frame.timestamp_s,
            arbitration_id=frame.arbitration_id,
            is_extended_id=frame.is_extended,
            is_fd=frame.is_fd,
            bitrate_switch=frame.bitrate_switch,
            error_state_indicator=frame.error_state_indicator,
            channel=self._message_channel,
            dlc=len(frame.data),
            data=frame.data,
        )

    def _take(self, connection: Connection) -> None:
        self._connection = connection
        self._connected_at_s = time.monotonic()
        self._connected.set()

    def _lose(self, error: OSError) -> None:
        """The stream is over. Raises CanOperationError where nobody wants it back."""
        self._connection.close()
        if self._stopping.is_set():
            raise can.CanOperationError(f"{self.channel_info} is shut down.") from error
        if not self._reconnect:
            raise can.CanOperationError(str(error)) from error
        log.warning("%s (This bus does so by itself, each second.)", error)
        self._connected.clear()
        threading.Thread(target=self._connect_again, name=f"{INTERFACE} reconnect", daemon=True).start()

    def _connect_again(self) -> None:
        """At once after a stream that has lasted, then each second."""
        wait_s = self._connected_at_s + _TRY_EVERY_S - time.monotonic()
        while not self._stopping.wait(max(0.0, wait_s)):
            wait_s = _TRY_EVERY_S
            try:
                connection = connect_to(self._channel, timeout_s=self._timeout_s)
            except OSError as error:
                log.debug("%s", error)
                continue
            self._take(connection)
            if self._stopping.is_set():
                connection.close()
            else:
                log.warning("%s: connected again.", self.channel_info)
            return

    @staticmethod
    def _detect_available_configs() -> list[AutoDetectedConfig]:
        """The loggers that are on the network, by name. Takes two seconds."""
        try:
            loggers = discover(_DETECT_S)
        except DiscoveryFailed:
            return []
        return [{"interface": INTERFACE, "channel": f"{ZEROCONF}{one.name}"} for one in loggers]
