"""An emulated candleLight (gs_usb) CAN adapter: the device without its cable.

`usbip_gs_usb` plugs it into a real kernel, `fake_libusb` into a stand-in for libusb.
"""

from __future__ import annotations

import collections
import re
import struct
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

VENDOR, PRODUCT = 0x1D50, 0x606F

# gs_usb feature and mode bits, control requests and frame flags
LISTEN_ONLY, LOOP_BACK, ONE_SHOT, HW_TIMESTAMP = 1, 2, 8, 16
FD, BT_CONST_EXT = 1 << 8, 1 << 10
(HOST_FORMAT, BITTIMING, MODE, BERR, BT_CONST, DEVICE_CONFIG, TIMESTAMP,
 IDENTIFY, GET_USER_ID, SET_USER_ID, DATA_BITTIMING, BT_CONST_EXTENDED) = range(12)  # fmt: skip
FLAG_OVERFLOW, FLAG_FD, FLAG_BRS, FLAG_ESI = 1, 2, 4, 8
RECEIVED = 0xFFFFFFFF  # echo_id of a frame that is not a confirmation
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
FIFO = 512  # frames that the device holds while the host does not read


class Frame(NamedTuple):
    """A frame on the emulated bus; can_id carries SocketCAN's EFF, RTR and ERR bits."""

    can_id: int
    data: bytes
    flags: int
    dlc: int


def frame(can_id: int, data: bytes = b"", flags: int = 0) -> Frame:
    dlc = next(n for n, size in enumerate(LENGTHS) if size >= len(data))
    return Frame(can_id, bytes(data).ljust(LENGTHS[dlc], b"\0"), flags, dlc)


def parse(text: str) -> Frame:
    """Return a frame from cansend's notation: 123#0011, 12345678#R, 123##1.. (FD)."""
    match = re.fullmatch(r"([0-9A-Fa-f]+)#(#[0-9A-Fa-f])?(R|[0-9A-Fa-f.]*)", text)
    if not match:
        raise ValueError(f"not a frame: {text}")
    name, fd, data = match.groups()
    can_id = int(name, 16) | (EFF if len(name) > 3 else 0)
    if data == "R":
        return frame(can_id | RTR)
    flags = 0
    if fd:
        flags = FLAG_FD | (FLAG_BRS if int(fd[1], 16) & 1 else 0)
    return frame(can_id, bytes.fromhex(data.replace(".", "")), flags)


class Channel:
    def __init__(self) -> None:
        self.started = False
        self.mode = 0
        self.bittiming: tuple[int, ...] | None = None
        self.data_bittiming: tuple[int, ...] | None = None


class EmulatedGsUsb:
    """The device. Subclasses are its cable: they define `_pump`, `plug` and `unplug`."""

    def __init__(
        self, channels: int = 1, *, fd: bool = False, serial: str = "LAB0001", clock: int = 48_000_000
    ) -> None:
        self.channels = [Channel() for _ in range(channels)]
        self.features = LISTEN_ONLY | LOOP_BACK | ONE_SHOT | HW_TIMESTAMP
        if fd:
            self.features |= FD | BT_CONST_EXT
        self.fd, self.serial, self.clock = fd, serial, clock
        self.on_sent: Callable[[int, Frame], None] | None = None
        """Called with the channel and each frame from the host."""
        self.now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000
        self.sent = self.received = self.lost = 0
        self.stalled = False
        self._overflow = False  # the next frame carries the flag for lost frames
        self._lock = threading.RLock()
        self._fifo: collections.deque[bytes] = collections.deque()

    @property
    def plugged(self) -> bool:
        raise NotImplementedError

    def _pump(self) -> None:
        """Send records of the FIFO to the host, if it has requested any."""
        raise NotImplementedError

    def _unplugged(self) -> None:
        """Lose all state, as without power."""
        for channel in self.channels:
            channel.started = False
        self._forget()

    def _forget(self) -> None:
        self._fifo.clear()
        self._overflow = False

    def stall(self, on: bool) -> None:
        with self._lock:
            self.stalled = on
            self._pump()

    def receive(self, received: Frame, channel: int = 0, echo_id: int = RECEIVED) -> bool:
        """Queue a frame from the bus for the host. Returns False if it was lost."""
        with self._lock:
            state = self.channels[channel]
            if not (self.plugged and state.started):
                return False
            if received.flags & FLAG_FD and not state.mode & FD:
                return False  # a classic controller cannot receive it
            if len(self._fifo) >= FIFO:
                self.lost += 1
                self._overflow = True
                return False
            size = 64 if received.flags & FLAG_FD else 8
            flags = received.flags | (FLAG_OVERFLOW if self._overflow else 0)
            self._overflow = False
            record = struct.pack("<IIBBBB", echo_id, received.can_id, received.dlc, channel, flags, 0)
            record += received.data.ljust(size, b"\0")
            if state.mode & HW_TIMESTAMP:
                record += struct.pack("<I", self._stamp())
            self._fifo.append(record)
            self.received += echo_id == RECEIVED
            self._pump()
            return True

    def _stamp(self) -> int:
        return self.now_us() & 0xFFFFFFFF

    def _from_host(self, data: bytes) -> None:
        echo_id, can_id, dlc, channel, flags, _ = struct.unpack_from("<IIBBBB", data)
        sent = Frame(can_id, bytes(data[12 : 12 + LENGTHS[dlc & 15]]), flags, dlc & 15)
        self.sent += 1
        self.receive(sent, channel, echo_id)  # the confirmation
        if self.channels[channel].mode & LOOP_BACK:
            self.receive(sent, channel)
        if self.on_sent:
            self.on_sent(channel, sent)

    def control(self, setup: bytes, data: bytes) -> bytes | None:
        """Return the answer to a control request, or None to stall."""
        kind, request, value, _index, _ = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0:
            return self._standard(request, value)
        if kind & 0x60 != 0x40:
            return None
        if request == DEVICE_CONFIG:
            return struct.pack("<4BII", 0, 0, 0, len(self.channels) - 1, 2, 1)
        if request == TIMESTAMP:
            return struct.pack("<I", self._stamp())
        if request in (HOST_FORMAT, IDENTIFY, SET_USER_ID):
            return b""
        if value >= len(self.channels):
            return None
        return self._of_channel(self.channels[value], request, data)

    def _standard(self, request: int, value: int) -> bytes | None:
        if request == 6:  # GET_DESCRIPTOR
            return self.descriptor(value >> 8, value & 0xFF)
        if request == 9:  # SET_CONFIGURATION resets the device
            self._unplugged()
        return {0: b"\0\0", 8: b"\1", 10: b"\0"}.get(request, b"")

    def _of_channel(self, channel: Channel, request: int, data: bytes) -> bytes | None:
        limits = (1, 16, 1, 8, 4, 1, 1024, 1)  # tseg1, tseg2, sjw, brp
        if request == BT_CONST:
            return struct.pack("<10I", self.features, self.clock, *limits)
        if request == BT_CONST_EXTENDED and self.fd:
            nominal, fast = (1, 256, 1, 128, 128, 1, 512, 1), (1, 32, 1, 16, 16, 1, 32, 1)
            return struct.pack("<18I", self.features, self.clock, *nominal, *fast)
        if request == BITTIMING:
            channel.bittiming = struct.unpack("<5I", data)
        elif request == DATA_BITTIMING and self.fd:
            channel.data_bittiming = struct.unpack("<5I", data)
        elif request == MODE:
            start, channel.mode = struct.unpack("<II", data)
            channel.started = start == 1
            if not channel.started:
                self._forget()
        else:
            return None
        return b""

    def descriptor(self, kind: int, index: int = 0) -> bytes | None:
        if kind == 1:  # device
            return struct.pack(
                "<BBHBBBBHHHBBBB", 18, 1, 0x200, 0, 0, 0, 64, VENDOR, PRODUCT, 0x100, 1, 2, 3, 1
            )
        if kind == 2:  # configuration, one vendor interface, two endpoints
            size = 512 if self.fd else 64
            body = struct.pack("<9B", 9, 4, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0)
            body += struct.pack("<BBBBHB", 7, 5, 0x81, 2, size, 0)
            body += struct.pack("<BBBBHB", 7, 5, 0x02, 2, size, 0)
            return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 1, 1, 0, 0x80, 75) + body
        if kind == 3:  # strings
            if index == 0:
                return struct.pack("<BBH", 4, 3, 0x0409)
            names = {1: "bytewerk", 2: "candleLight USB to CAN adapter", 3: self.serial}
            text = names.get(index, "").encode("utf-16-le")
            return struct.pack("<BB", 2 + len(text), 3) + text
        return None
