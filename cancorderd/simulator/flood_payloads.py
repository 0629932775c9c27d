"""Payloads of a flood's frames. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cancorderd.protocol.quality_frame import CLASSIC_LENGTH, classic_payload, fd_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBER_LENGTH = 8


class Payloads(Protocol):
    """Payloads of equal length, one for each frame of a sequence."""

    length: int

    def payloads(self, first: int, elapsed_us: Sequence[int]) -> list[bytes]:
        """Return the payloads of consecutive frames; `first` is the number of the first, from 0.

        `elapsed_us` has a value for each frame: microseconds since the flood began.
        """


class Numbered:
    """The frame's number, big-endian: eight bytes, or its lowest bytes if the frame is shorter.

    Any further byte is its own position in the payload, so that a shifted payload is noticed.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._width = min(length, NUMBER_LENGTH)
        self._rest = bytes(range(self._width, length))

    def payloads(self, first: int, elapsed_us: Sequence[int]) -> list[bytes]:
        width, rest = self._width, self._rest
        mask = (1 << 8 * width) - 1
        return [(number & mask).to_bytes(width) + rest for number in range(first, first + len(elapsed_us))]


class Quality:
    """Frames of CANcorder's quality test: classic ones of 8 bytes, else those of CAN FD."""

    def __init__(self, length: int, test_id: int) -> None:
        self.length = length
        self._test_id = test_id

    def payloads(self, first: int, elapsed_us: Sequence[int]) -> list[bytes]:
        test_id, length = self._test_id, self.length
        numbered = enumerate(elapsed_us, first)
        if length == CLASSIC_LENGTH:
            return [classic_payload(number, time_us, test_id) for number, time_us in numbered]
        return [fd_payload(number, time_us, test_id, length) for number, time_us in numbered]
