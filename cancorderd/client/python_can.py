"""python-can interface: `can.Bus(interface="ecuconnect", channel="HOST:PORT")`, for every program that uses python-can.

python-can finds it by the entry point of this package. It only receives.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import can

from cancorderd.client.address import ZEROCONF, channel_text, connect_to
from cancorderd.client.discovery import discover
from cancorderd.client.errors import BordersLost, ConnectFailed, DiscoveryFailed
from cancorderd.protocol.packets import WireError

if TYPE_CHECKING:
    from can.typechecking import AutoDetectedConfig, CanFilters

    from cancorderd.protocol.frame import Frame

log = logging.getLogger(__name__)

INTERFACE = "ecuconnect"
_RECONNECT_S = 1.0
_DETECT_S = 2.0
"""`can.detect_available_configs()` waits 5 s for its interfaces; loggers that have just answered wait 1 s."""


class EcuconnectBus(can.BusABC):
    """A receive-only bus that a cancorderd or any other ECUconnect Logger serves.

    There is no `fileno`: frames arrive many at a time, and a descriptor is not readable for those that are
    buffered here. So a `can.Notifier` reads in a thread, even with asyncio.

    A packet that breaks a limit of CAN is repaired or skipped, and counted; the first of a connection is logged.
    """

    def __init__(
        self,
        channel: object = None,
        can_filters: CanFilters | None = None,
        *,
        timeout_s: float = 5.0,
        reconnect: bool = True,
        message_channel: str | int = 0,
        **_: object,
    ) -> None:
        """Connect, within `timeout_s` seconds, to `channel`: "HOST:PORT", "[IPv6]:PORT" or "zeroconf:NAME".

        If the stream ends or is damaged and `reconnect` is true, the bus connects again, once a second, and `recv`
        returns None in the meantime; else `recv` raises CanOperationError.
        `message_channel` is the channel of every message, which log files store: 0 becomes `can0` in a .log, and
        channel 1 in BLF and ASC. (An address would become a number that does not fit into such files.)
        `can_filters` are applied here. Other arguments, such as `bitrate`, have no effect: the server decides them.

        Raises CanInitializationError if the connection fails, and ValueError if `channel` is not one of these.
        """
        if not isinstance(timeout_s, int | float):
            raise ValueError(  # noqa: TRY004 - as for the channel
                f"timeout_s is {timeout_s!r}. Write seconds, such as 5.0."
            )
        if reconnect not in (True, False):
            raise ValueError(f"reconnect is {reconnect!r}. Write True or False.")
        self._channel = channel_text(channel)
        self._timeout_s = timeout_s
        self._reconnect = reconnect
        self._message_channel = message_channel
        self._fault_logged = False
        self._repaired = self._skipped = 0
        """Odd packets of earlier connections."""
        self._stopping = threading.Event()
        self._connected = threading.Event()
        """Set while `recv` has something to do: read, or notice `_stopping`."""
        try:
            self._connection = connect_to(self._channel, timeout_s=timeout_s)
        except (ConnectFailed, DiscoveryFailed) as error:
            raise can.CanInitializationError(str(error)) from None
        self._connected_at_s = time.monotonic()
        self._connected.set()
        self._can_protocol = can.CanProtocol.CAN_FD
        self.channel_info = f"{INTERFACE} {self._channel}"
        super().__init__(self._channel, can_filters)

    def send(self, msg: can.Message, timeout: float | None = None) -> NoReturn:
        """Raise CanOperationError: the protocol cannot send."""
        del msg, timeout
        self._refuse_to_send()

    def send_periodic(self, *_: object, **__: object) -> NoReturn:
        """Raise CanOperationError at once; python-can's task would fail later, in a thread of its own."""
        self._refuse_to_send()

    def flush_tx_buffer(self) -> None:
        """Do nothing: no message is ever queued."""

    @property
    def packets_repaired(self) -> int:
        """Packets that broke a limit of CAN and whose meaning is plain, such as a 29-bit id without its flag."""
        return self._repaired + self._connection.packets_repaired

    @property
    def packets_skipped(self) -> int:
        """Packets that broke a limit of CAN and mean no data frame."""
        return self._skipped + self._connection.packets_skipped

    def _refuse_to_send(self) -> NoReturn:
        raise can.CanOperationError(
            f"{self.channel_info} is receive-only: its protocol cannot send. Send through the adapter itself."
        )

    @property
    def state(self) -> can.BusState:
        """PASSIVE: this bus cannot even acknowledge a frame."""
        return can.BusState.PASSIVE

    @state.setter
    def state(self, new_state: can.BusState) -> None:
        """Raise CanOperationError for any state but PASSIVE."""
        if new_state is not can.BusState.PASSIVE:
            raise can.CanOperationError(
                f"{self.channel_info} is receive-only: its state can only be PASSIVE."
            )

    def shutdown(self) -> None:
        """Disconnect. Safe to call twice."""
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
        except (OSError, BordersLost) as error:
            self._on_stream_end(error)
            return None, False
        except WireError as error:
            raise can.CanOperationError(str(error)) from error
        if not self._fault_logged and self._connection.first_fault:
            self._fault_logged = True
            log.warning("%s", self._connection.first_fault)
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

    def _on_stream_end(self, error: OSError | BordersLost) -> None:
        """Begin to reconnect, or raise CanOperationError if the bus is shut down or `reconnect` is false."""
        self._connection.close()
        if self._stopping.is_set():
            raise can.CanOperationError(f"{self.channel_info} is shut down.") from error
        if not self._reconnect:
            raise can.CanOperationError(str(error)) from error
        log.warning("%s (This bus does so by itself, once a second.)", error)
        self._connected.clear()
        threading.Thread(target=self._try_to_reconnect, name=f"{INTERFACE} reconnect", daemon=True).start()

    def _try_to_reconnect(self) -> None:
        """Connect at once if the stream has lasted a while, then once a second."""
        wait_s = self._connected_at_s + _RECONNECT_S - time.monotonic()
        while not self._stopping.wait(max(0.0, wait_s)):
            wait_s = _RECONNECT_S
            try:
                connection = connect_to(self._channel, timeout_s=self._timeout_s)
            except OSError as error:
                log.debug("%s", error)
                continue
            self._repaired, self._skipped = self.packets_repaired, self.packets_skipped
            self._connection = connection
            self._fault_logged = False
            self._connected_at_s = time.monotonic()
            self._connected.set()
            if self._stopping.is_set():
                connection.close()
            else:
                log.warning("%s: connected again.", self.channel_info)
            return

    @staticmethod
    def _detect_available_configs() -> list[AutoDetectedConfig]:
        """Return the loggers on the network, by name. Takes two seconds."""
        try:
            loggers = discover(_DETECT_S)
        except DiscoveryFailed:
            return []
        return [{"interface": INTERFACE, "channel": f"{ZEROCONF}{logger.name}"} for logger in loggers]
