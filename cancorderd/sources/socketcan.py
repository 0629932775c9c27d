"""socketcan: the Linux kernel's CAN interfaces, through a raw socket of our own.

The decoding at the top is pure: what recvmmsg left in memory, in; packets out. `SocketcanSource` below
it owns the socket. One recvmmsg takes up to 256 frames with their control messages: the kernel's
time stamp (SO_TIMESTAMPNS) and its count of frames that the socket's buffer had no room for
(SO_RXQ_OVFL). Layouts: linux/can.h, linux/can/error.h, socket(7).
"""

from __future__ import annotations

import errno
import fcntl
import socket
from struct import Struct
from typing import TYPE_CHECKING

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import BRS, ESI, EXTENDED, FD, NOTHING, Batch
from cancorderd.sources.base import Counted
from cancorderd.sources.error_frames import BusOffWatch, ErrorFrames
from cancorderd.sources.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import Filter, SocketcanBus

_SLOTS = 256
"""Frames per system call: 10 ms of the busiest CAN FD bus."""

CAN_FRAME = Struct("@IBB2x64s")
"""struct canfd_frame; struct can_frame is the same with 8 bytes of payload."""
CONTROL = Struct("@NiillNiiI0N")
"""cmsghdr and timespec of SO_TIMESTAMPNS, then cmsghdr and counter of SO_RXQ_OVFL, in the kernel's order."""
_CLASSIC_BYTES = 16
_FD_BYTES = 72

_EFF_FLAG = 0x8000_0000
_RTR_FLAG = 0x4000_0000
_ERR_FLAG = 0x2000_0000
_SFF_MASK = 0x7FF
_EFF_MASK = 0x1FFF_FFFF
_CANFD_BRS = 0x01
_CANFD_ESI = 0x02

_HEADER = Struct(">QIBB")
_FD_FLAGS = [
    FD | (BRS if bits & _CANFD_BRS else 0) | (ESI if bits & _CANFD_ESI else 0) for bits in range(256)
]


class Decoder(ErrorFrames):
    """What recvmmsg delivered, as packets; keeps count of what has no form on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.remote_frames = 0
        self.lost_kernel = 0
        self._drops_seen = 0

    def decode(self, lengths: Sequence[int], frames: memoryview, controls: memoryview) -> Batch:
        """The packets of `len(lengths)` messages: their lengths, slots of 72 bytes, slots of control messages."""
        packets = []
        pack = _HEADER.pack
        slots = zip(lengths, CAN_FRAME.iter_unpack(frames), CONTROL.iter_unpack(controls), strict=True)
        for size, (can_id, length, fd_flags, payload), control in slots:
            if can_id & (_ERR_FLAG | _RTR_FLAG):
                if can_id & _ERR_FLAG:
                    self.error_frame(can_id, payload)
                else:
                    self.remote_frames += 1
                continue
            stamp_us = control[3] * 1_000_000 + control[4] // 1000
            flags = _FD_FLAGS[fd_flags] if size == _FD_BYTES else 0
            if can_id & _EFF_FLAG:
                packets.append(
                    pack(stamp_us, can_id & _EFF_MASK, flags | EXTENDED, length) + payload[:length]
                )
            else:
                packets.append(pack(stamp_us, can_id & _SFF_MASK, flags, length) + payload[:length])
        if lengths and control[8] != self._drops_seen:
            # The counter is 32 bits wide and runs from the socket's start.
            self.lost_kernel += (control[8] - self._drops_seen) & 0xFFFF_FFFF
            self._drops_seen = control[8]
        return Batch(b"".join(packets), len(packets)) if packets else NOTHING


def kernel_filters(filters: Sequence[Filter]) -> bytes:
    """`filters` as an array of struct can_filter."""
    rules = []
    for one in filters:
        kind_mask = 0 if one.extended is None else _EFF_FLAG
        kind = _EFF_FLAG if one.extended else 0
        rules.append(Struct("=II").pack(one.id | kind, one.mask | kind_mask))
    return b"".join(rules)


# Numbers that CPython's socket module lacks (asm-generic/socket.h, linux/can/raw.h, linux/sockios.h).
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SO_RXQ_OVFL = 40
_SOL_CAN_RAW = 101
_CAN_RAW_FILTER = 1
_CAN_RAW_ERR_FILTER = 2
_CAN_RAW_FD_FRAMES = 5
_CAN_ERR_MASK = 0x1FFF_FFFF
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFF_UP = 0x1
_ARPHRD_CAN = 280
_CANFD_MTU = 72
_RECEIVE_BUFFER = 8 << 20
"""About a second of a full 1 Mbit/s bus; the kernel counts some 800 bytes for a frame."""


def open_source(section: SocketcanBus) -> SocketcanSource:
    return SocketcanSource(section)


class SocketcanSource(Counted):
    """One CAN_RAW socket, bound to one interface."""

    def __init__(self, section: SocketcanBus) -> None:
        super().__init__()
        self._channel = section.channel
        self._decoder = Decoder()
        self._bus_off = BusOffWatch()
        self._socket = _raw_socket()
        try:
            _check_interface(self._socket, section)
            self._prepare(section)
            self._mailbox = Mailbox(_SLOTS, CAN_FRAME.size, CONTROL.size)
        except OSError as error:
            self.close()
            raise _failure(section.channel, error) from error
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def due(self, now_s: float) -> float | None:
        return self._bus_off.due(now_s)

    def read(self, now_s: float) -> Batch:
        try:
            lengths = self._mailbox.fill(self._socket.fileno())
        except OSError as error:
            # Gone while it was open: an error of this bus, not one more reason to wait.
            raise BusError(str(_failure(self._channel, error))) from error
        decoder = self._decoder
        if lengths:
            batch = decoder.decode(
                lengths,
                self._mailbox.data[: len(lengths) * CAN_FRAME.size],
                self._mailbox.controls[: len(lengths) * CONTROL.size],
            )
        else:
            batch = NOTHING
        self.error_frames = decoder.error_frames
        self.remote_frames = decoder.remote_frames
        self.lost_adapter = decoder.overflows
        self.lost_kernel = decoder.lost_kernel
        self.controller = decoder.controller
        if self._bus_off.expired(self.controller, now_s):
            raise BusError(f"{self._channel} is bus-off. Check bitrate, wiring and termination.")
        return batch

    def close(self) -> None:
        self._socket.close()

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
        if section.fd:
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


def _check_interface(sock: socket.socket, section: SocketcanBus) -> None:
    """Raises AdapterAbsent or SettingsRefused where frames could never come; OSError where it is absent."""
    name = section.channel
    if len(name.encode()) > 15:
        raise SettingsRefused(f"{name} is too long for an interface; names have at most 15 bytes.")
    if _interface_word(sock, name, _SIOCGIFHWADDR) != _ARPHRD_CAN:
        raise SettingsRefused(f"{name} is no CAN interface. See: ip link show type can")
    if not _interface_word(sock, name, _SIOCGIFFLAGS) & _IFF_UP:
        raise AdapterAbsent(
            f"interface {name} is down. Bring it up: ip link set {name} up type can bitrate {section.bitrate}"
        )
    if section.fd and _interface_word(sock, name, _SIOCGIFMTU) < _CANFD_MTU:
        raise SettingsRefused(
            f"interface {name} carries no CAN FD. Set fd = false, or enable it: "
            f"ip link set {name} type can ... fd on (vcan: ip link set {name} mtu {_CANFD_MTU})"
        )


def _interface_word(sock: socket.socket, name: str, request: int) -> int:
    """The first 16 bits of the answer to a SIOCGIF… request (netdevice(7), struct ifreq)."""
    answer = fcntl.ioctl(sock, request, Struct("16s24x").pack(name.encode()))
    return int(Struct("@16xH").unpack_from(answer)[0])


def _failure(channel: str, error: OSError) -> BusError | AdapterAbsent:
    match error.errno:
        case errno.ENODEV | errno.ENXIO:
            return AdapterAbsent(f"there is no interface {channel}. Plug the adapter in, or correct channel.")
        case errno.ENETDOWN:
            return BusError(f"interface {channel} went down.")
    return BusError(f"{channel}: {error.strerror}")
