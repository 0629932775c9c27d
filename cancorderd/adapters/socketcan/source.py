"""socketcan: the Linux kernel's CAN interfaces, through a raw socket.

A recvmmsg returns up to 256 frames with their control messages: the kernel's time stamp (SO_TIMESTAMPNS) and its
count of frames for which the socket's buffer had no room (SO_RXQ_OVFL). The state of the link itself is read over
`netlink`, about once a second and whenever an error frame changes the controller's state.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.can_frame import CANFD_MTU, ERR_MASK
from cancorderd.adapters.error_frames import BUS_OFF, BusOffPatience
from cancorderd.adapters.failures import (
    AdapterAbsent,
    BusError,
    BusFailure,
    SettingsRefused,
    absent_reason,
    failure_of_errno,
)
from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder, kernel_filters
from cancorderd.adapters.socketcan.link_setup import link_bus_off_reason, link_details, up_command
from cancorderd.adapters.socketcan.mailbox import Mailbox
from cancorderd.adapters.socketcan.netlink import LinkSocket
from cancorderd.protocol.batch import EMPTY_BATCH, Batch

if TYPE_CHECKING:
    from cancorderd.adapters.socketcan.link import Link
    from cancorderd.adapters.socketcan.settings import SocketcanSettings

_SLOTS = 256
"""Frames per system call: 10 ms of the busiest CAN FD bus."""

# Numbers that CPython's socket module lacks (asm-generic/socket.h, linux/can/raw.h).
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SO_RXQ_OVFL = 40
_SOL_CAN_RAW = 101
_CAN_RAW_FILTER = 1
_CAN_RAW_ERR_FILTER = 2
_CAN_RAW_FD_FRAMES = 5
_RECEIVE_BUFFER = 8 << 20
"""About a second of a full 1 Mbit/s bus; the kernel counts some 800 bytes for a frame."""
_LOOK_EVERY_S = 1.0
"""How often the link is read, which takes 0.05 ms."""


class SocketcanSource(BaseSource):
    """A CAN_RAW socket, bound to an interface."""

    def __init__(self, settings: SocketcanSettings) -> None:
        super().__init__()
        self._settings = settings
        self._channel = settings.channel
        self._decoder = CanFrameDecoder()
        self._bus_off = BusOffPatience()
        self._next_look_s = 0.0
        self._failure: BusError | None = None
        """Raised when the frames that arrived before it have been read."""
        self._links: LinkSocket | None = None
        self._socket = _raw_socket()
        try:
            self._links = LinkSocket()
            self._link = self._first = _ready_link(self._links, settings)
            self._prepare(settings)
            self._mailbox = Mailbox(_SLOTS, CAN_FRAME.size, CONTROL.size)
            self._update(self._link)
        except OSError as error:
            self.close()
            raise _failure(settings.channel, error) from error
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def due(self, now_s: float) -> float | None:
        if self._failure:
            return 0.0
        ends_in_s = self._bus_off.due(now_s)
        look_in_s = self._next_look_s - now_s
        return look_in_s if ends_in_s is None else min(look_in_s, ends_in_s)

    def read(self, now_s: float) -> Batch:
        lengths = self._arrived()
        batch = self._decode(lengths) if lengths else EMPTY_BATCH
        if self._failure is None:
            self._failure = self._found_failure(now_s)
        if self._failure and not lengths:
            raise self._failure
        return batch

    def stop(self) -> None:
        """Let no frame pass the socket's filter any more."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FILTER, b"")

    def close(self) -> None:
        self._socket.close()
        if self._links:
            self._links.close()

    def _arrived(self) -> list[int]:
        """Receive frames; return their lengths."""
        try:
            return self._mailbox.fill(self._socket.fileno())
        except OSError as error:
            self._failure = self._failure or self._gone(error)
        # The kernel returns an error before the frames that arrived earlier.
        with contextlib.suppress(OSError):
            return self._mailbox.fill(self._socket.fileno())
        return []

    def _found_failure(self, now_s: float) -> BusError | None:
        """Look at the link and the controller, if it is time; return the failure of the bus."""
        try:
            if now_s >= self._next_look_s or self._decoder.controller != self.controller:
                self._next_look_s = now_s + _LOOK_EVERY_S
                self._look()
        except OSError as error:
            return self._gone(error)
        except BusError as error:
            return error
        if self._bus_off.expired(self.controller, now_s):
            return BusError(link_bus_off_reason(self._link, self._settings))
        return None

    def _gone(self, error: OSError) -> BusError:
        """Return a BusError for an interface that went away while it was open: that is no reason to wait."""
        failure = BusError(str(_failure(self._channel, error)))
        failure.__cause__ = error
        return failure

    def _decode(self, lengths: list[int]) -> Batch:
        decoder = self._decoder
        frames = self._mailbox.data[: len(lengths) * CAN_FRAME.size]
        controls = self._mailbox.controls[: len(lengths) * CONTROL.size]
        decoder.internal = self.internal
        batch = decoder.decode(lengths, frames, controls)
        if decoder.controller == BUS_OFF:
            decoder.reconsider_bus_off(frames, controls, self._mailbox.flags())
        self.error_frames = decoder.error_frames
        self.remote_frames = decoder.remote_frames
        self.lost_kernel = decoder.lost_kernel
        return batch

    def _look(self) -> None:
        """Read the link. Raises OSError or BusError if it is down or has been replaced."""
        assert self._links is not None  # noqa: S101 - set before the first read
        link = self._links.read(self._channel)
        if link.number != self._link.number:
            raise BusError(f"interface {self._channel} has been replaced by another.")
        if not link.up:
            raise OSError(errno.ENETDOWN, "down")
        self._update(link)

    def _update(self, link: Link) -> None:
        self._link = link
        self._decoder.report_link(link.controller, time.time_ns() // 1000)
        self.controller = self._decoder.controller
        # An overrun counts in the statistics and comes as an error frame; some drivers do only one of the two.
        overruns = max(link.overruns - self._first.overruns, self._decoder.overflows)
        self.lost_adapter = overruns + link.dropped - self._first.dropped
        self._bus_off.restarts_after_s = (link.restart_ms or 0) / 1000
        # The keys are the same each time: the settings that decide on them cannot change while the link is up.
        self.details.update(link_details(link, self._settings))

    def _prepare(self, settings: SocketcanSettings) -> None:
        """Set the options, then bind, so that no frame arrives without them."""
        sock = self._socket
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:  # without CAP_NET_ADMIN: as much as net.core.rmem_max allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, ERR_MASK)
        # Without it the kernel passes on no FD frames, and counts none. `fd` is only about links that the bus sets up.
        sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FD_FRAMES, 1)
        if settings.filters:
            sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FILTER, kernel_filters(settings.filters))
        sock.bind((settings.channel,))


def _raw_socket() -> socket.socket:
    if not hasattr(socket, "AF_CAN"):
        raise SettingsRefused("socketcan is part of Linux. Use slcan, gs_usb or another interface here.")
    try:
        return socket.socket(socket.AF_CAN, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.CAN_RAW)
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            raise SettingsRefused(
                "this kernel has no SocketCAN. Load it (modprobe can_raw), or use another kernel."
            ) from error
        raise BusError(f"no CAN socket: {error.strerror}") from error


def _ready_link(links: LinkSocket, settings: SocketcanSettings) -> Link:
    """Return the link, set up if the bus says so.

    Raises AdapterAbsent, SettingsRefused or BusError if frames could never come, and OSError if the link is absent.
    """
    name = settings.channel
    if len(name.encode()) > 15:
        raise SettingsRefused(f"{name} is too long for an interface. Use a name of at most 15 bytes.")
    link = links.read(name)
    if not link.is_can:
        raise SettingsRefused(f"{name} is no CAN interface. Use one that this lists: ip link show type can")
    if settings.configure:
        links.set_up(link, settings)
        link = links.read(name)
    if not link.up:
        raise AdapterAbsent(
            f"interface {name} is down. Write configure = true, or bring it up yourself: "
            f"{up_command(link, settings)}"
        )
    if settings.fd and link.mtu < CANFD_MTU:
        raise SettingsRefused(
            f"interface {name} carries no CAN FD. Set fd = false, write configure = true, or enable it: "
            f"ip link set {name} down; {up_command(link, settings)}"
        )
    return link


def _failure(channel: str, error: OSError) -> BusFailure:
    if error.errno == errno.ENETDOWN:
        return BusError(f"interface {channel} went down.")
    return failure_of_errno(
        error.errno, channel, f"{error.strerror}", absent=absent_reason(f"there is no interface {channel}")
    )
