"""Numbered frames: sent on a SocketCAN interface, and told apart again at a client."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cancorderd.frame import Frame
    from tests.harness import Client

ARBITRATION_ID = 0x123
_CAN_FRAME = struct.Struct("=IB3xQ")
"""struct can_frame (linux/can.h) whose payload is one number."""


def number(frame: Frame) -> int:
    """The number that a frame carries, in the machine's byte order as cangen writes it."""
    assert len(frame.data) == 8, frame
    return int.from_bytes(frame.data, "little")


def mistakes(numbers: Iterable[int], count: int) -> str:
    """What is wrong with numbers that should be 0, 1 ... `count` - 1; empty where nothing is."""
    found = list(numbers)
    if found == list(range(count)):
        return ""
    lost = sorted(set(range(count)) - set(found))
    doubled = len(found) - len(set(found))
    late = sum(b < a for a, b in itertools.pairwise(found))
    return (
        f"{len(found)} of {count}: {len(lost)} lost (from {lost[:3]}), {doubled} doubled, {late} out of order"
    )


class Sender:
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

    def send(self, value: int) -> None:
        self._socket.send(_CAN_FRAME.pack(ARBITRATION_ID, 8, value))

    def send_at_rate(self, count: int, frames_per_second: float) -> None:
        """Send 0 ... `count` - 1, evenly over the time that takes."""
        start_s = time.monotonic()
        for value in range(count):
            early_s = start_s + value / frames_per_second - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            self.send(value)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Traffic:
    """Frames on an interface without end, numbered, some hundred a second; waits while it is away."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        value = 0
        while not self._ended.is_set():
            # Down, or removed and made anew: the old socket stays on the interface that is no more.
            with contextlib.suppress(OSError), Sender(self._interface) as sender:
                while not self._ended.wait(0.01):
                    sender.send(value)
                    value += 1
            self._ended.wait(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def first_arrival_after(client: Client, moment_s: float) -> float | None:
    """When the first frame arrived after `moment_s` (both in seconds since the epoch), if one has."""
    return next((one for one in list(client.arrivals_s) if one > moment_s), None)
