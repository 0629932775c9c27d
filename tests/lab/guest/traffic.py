"""Numbered frames (see tests.support.numbered_frames) on a SocketCAN interface."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Self

from tests.support.numbered_frames import ARBITRATION_ID

_CAN_FRAME = struct.Struct("=IB3x8s")
"""struct can_frame (linux/can.h)."""


class SocketcanSender:
    """A raw socket on an interface that must exist."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        # A socket that only sends must not gather what others send.
        self._socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        try:
            self._socket.bind((interface,))
        except OSError:
            self.close()
            raise

    def send(self, number: int) -> None:
        self._socket.send(_CAN_FRAME.pack(ARBITRATION_ID, 8, number.to_bytes(8)))

    def send_at_rate(self, count: int, frames_per_second: float) -> None:
        """Send 0 ... `count` - 1 at even intervals."""
        start_s = time.monotonic()
        for number in range(count):
            early_s = start_s + number / frames_per_second - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            self.send(number)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Traffic:
    """Endless numbered frames on an interface, about a hundred a second; pauses while the interface is away."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            # After the interface was down or replaced, the old socket stays bound to the old interface.
            with contextlib.suppress(OSError), SocketcanSender(self._interface) as sender:
                while not self._ended.wait(0.01):
                    sender.send(number)
                    number += 1
            self._ended.wait(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
