"""socketcan: the Linux kernel's CAN interfaces, through a raw socket of our own.

One recvmmsg takes up to 256 frames with their control messages: the kernel's time stamp
(SO_TIMESTAMPNS) and its count of frames that the socket's buffer had no room for (SO_RXQ_OVFL).
`socketcan_frames` decodes them. What the link itself tells comes over netlink (`can_link`), about once a
second and whenever an error frame changes the controller's state.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import NOTHING, Batch
from cancorderd.sources import can_link
from cancorderd.sources.base import Counted
from cancorderd.sources.can_link_settings import CANFD_MTU
from cancorderd.sources.error_frames import BusOffWatch
from cancorderd.sources.mailbox import Mailbox
from cancorderd.sources.socketcan_frames import CAN_FRAME, CONTROL, Decoder, kernel_filters
from cancorderd.sources.socketcan_status import bus_off_reason, details

if TYPE_CHECKING:
    from cancorderd.config.model import SocketcanBus
    from cancorderd.sources.can_link_messages import Link

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
_CAN_ERR_MASK = 0x1FFF_FFFF
_RECEIVE_BUFFER = 8 << 20
"""About a second of a full 1 Mbit/s bus; the kernel counts some 800 bytes for a frame."""
_LOOK_EVERY_S = 1.0
"""How often the link is asked about; that takes 0.05 ms."""


def open_source(section: SocketcanBus) -> SocketcanSource:
    return SocketcanSource(section)


def open_watch(section: SocketcanBus) -> can_link.LinkWatch:
    if section.configure:
        can_link.prepare()
    return can_link.LinkWatch(section.channel)


class SocketcanSource(Counted):
    """One CAN_RAW socket, bound to one interface."""

    def __init__(self, section: SocketcanBus) -> None:
        super().__init__()
        self._section = section
        self._channel = section.channel
        self._decoder = Decoder()
        self._bus_off = BusOffWatch()
        self._next_look_s = 0.0
        self._links: can_link.Links | None = None
        self._socket = _raw_socket()
        try:
            self._links = can_link.Links()
            self._link = self._first = _ready_link(self._links, section)
            self._prepare(section)
            self._mailbox = Mailbox(_SLOTS, CAN_FRAME.size, CONTROL.size)
            self._take(self._link)
        except OSError as error:
            self.close()
            raise _failure(section.channel, error) from error
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def due(self, now_s: float) -> float | None:
        ends_in_s = self._bus_off.due(now_s)
        look_in_s = self._next_look_s - now_s
        return look_in_s if ends_in_s is None else min(look_in_s, ends_in_s)

    def read(self, now_s: float) -> Batch:
        try:
            lengths = self._mailbox.fill(self._socket.fileno())
            batch = self._decode(lengths) if lengths else NOTHING
            if now_s >= self._next_look_s or self._decoder.controller != self.controller:
                self._next_look_s = now_s + _LOOK_EVERY_S
                self._look()
        except OSError as error:
            # Gone while it was open: an error of this bus, not one more reason to wait.
            raise BusError(str(_failure(self._channel, error))) from error
        if self._bus_off.expired(self.controller, now_s):
            raise BusError(bus_off_reason(self._link, self._section))
        return batch

    def close(self) -> None:
        self._socket.close()
        if self._links:
            self._links.close()

    def _decode(self, lengths: list[int]) -> Batch:
        decoder = self._decoder
        batch = decoder.decode(
            lengths,
            self._mailbox.data[: len(lengths) * CAN_FRAME.size],
            self._mailbox.controls[: len(lengths) * CONTROL.size],
        )
        self.error_frames = decoder.error_frames
        self.remote_frames = decoder.remote_frames
        self.lost_kernel = decoder.lost_kernel
        return batch

    def _look(self) -> None:
        """Raises OSError or BusError where the link is not what it was."""
        assert self._links is not None  # noqa: S101 - set before the first read
        link = self._links.read(self._channel)
        if link.number != self._link.number:
            raise BusError(f"interface {self._channel} has been replaced by another.")
        if not link.up:
            raise OSError(errno.ENETDOWN, "down")
        self._take(link)

    def _take(self, link: Link) -> None:
        self._link = link
        if link.controller:  # what the kernel knows is newer than its last error frame
            self._decoder.controller = link.controller
        self.controller = self._decoder.controller
        # An overrun counts in the statistics and comes as an error frame; some drivers do but one of the two.
        overruns = max(link.overruns - self._first.overruns, self._decoder.overflows)
        self.lost_adapter = overruns + link.dropped - self._first.dropped
        self._bus_off.restarts_after_s = (link.restart_ms or 0) / 1000
        # The same keys each time: what decides on them cannot change while the link is up.
        self.details.update(details(link, self._section))

    def _prepare(self, section: SocketcanBus) -> None:
        """Options before bind, so that no frame arrives without them."""
        sock = self._socket
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:  # without CAP_NET_ADMIN: as much as net.core.rmem_max allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _CAN_ERR_MASK)
        if section.fd or (section.prefer_fd and self._link.mtu >= CANFD_MTU):
            sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FD_FRAMES, 1)
        if section.filters:
            sock.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FILTER, kernel_filters(section.filters))
        sock.bind((section.channel,))


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


def _ready_link(links: can_link.Links, section: SocketcanBus) -> Link:
    """The link, set up where the bus says so.

    Raises AdapterAbsent, SettingsRefused or BusError where frames could never come; OSError where it is absent.
    """
    name = section.channel
    if len(name.encode()) > 15:
        raise SettingsRefused(f"{name} is too long for an interface; names have at most 15 bytes.")
    link = links.read(name)
    if not link.is_can:
        raise SettingsRefused(f"{name} is no CAN interface. See: ip link show type can")
    if section.configure:
        links.set_up(link, section)
        link = links.read(name)
    if not link.up:
        raise AdapterAbsent(
            f"interface {name} is down. Write configure = true, or bring it up yourself: "
            f"ip link set {name} up type can bitrate {section.bitrate}"
        )
    if section.fd and link.mtu < CANFD_MTU:
        raise SettingsRefused(
            f"interface {name} carries no CAN FD. Set fd = false, write configure = true, or enable it: "
            f"ip link set {name} type can ... fd on (vcan: ip link set {name} mtu {CANFD_MTU})"
        )
    return link


def _failure(channel: str, error: OSError) -> BusError | AdapterAbsent:
    match error.errno:
        case errno.ENODEV | errno.ENXIO:
            return AdapterAbsent(f"there is no interface {channel}. Plug the adapter in, or correct channel.")
        case errno.ENETDOWN:
            return BusError(f"interface {channel} went down.")
    return BusError(f"{channel}: {error.strerror}")
