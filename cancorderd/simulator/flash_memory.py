"""The ECU's flash memory: erase, download, check (ISO 14229-1:2013, annex F.1 and clause 14). Pure.

Sessions and security are checked in `uds_server`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from cancorderd.simulator import firmware_image
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.uds import POSITIVE, Nrc, Refused, Sid

if TYPE_CHECKING:
    import random

ADDRESS_FORMAT = 0x44
"""Four bytes of address, four of size (annex H.1)."""
NO_CONVERSION = 0x00
"""dataFormatIdentifier: neither compressed nor encrypted."""

PASSED = 0x00
FAILED = 0x01


class _State(enum.Enum):
    PROGRAMMED = enum.auto()
    ERASED = enum.auto()
    DOWNLOADING = enum.auto()


class FlashMemory:
    """Written bytes, and the download in progress."""

    def __init__(
        self, rng: random.Random, block_length: int, error_rate: float, narration: Narration | None = None
    ) -> None:
        self.block_length = block_length
        """maxNumberOfBlockLength: length of a TransferData request, service id and counter included."""
        self.version: str | None = None
        """Version of the last image that passed the check."""
        self._rng = rng
        self._error_rate = error_rate
        self._narration = narration or Narration()
        self._state = _State.PROGRAMMED
        self._written = bytearray()
        self._end = 0
        self._counter = 0
        self._first_block = True

    def abort(self) -> None:
        """End a download, because its session ended."""
        if self._state is _State.DOWNLOADING:
            self._state = _State.ERASED

    def erase(self, parameters: bytes) -> bytes:
        """Erase everything: routine 0xFF00. Raises Refused."""
        if len(parameters) != 9:
            raise Refused(Nrc.INCORRECT_LENGTH)
        address, size = _region(parameters)
        if (address, size) != (firmware_image.BASE_ADDRESS, firmware_image.FLASH_SIZE):
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)  # only the complete memory can be erased
        self._state = _State.ERASED
        self._written = bytearray()
        return bytes([PASSED])

    def check(self) -> bytes:
        """Check that the written bytes are a complete image: routine 0xFF01."""
        whole = self._state is _State.ERASED and firmware_image.is_whole(bytes(self._written))
        if not whole:
            return bytes([FAILED])
        self._state = _State.PROGRAMMED
        self.version = firmware_image.version_of(bytes(self._written))
        return bytes([PASSED])

    def request_download(self, request: bytes) -> bytes:
        """Begin a download: RequestDownload (14.2). Raises Refused."""
        if len(request) != 11:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if request[1] != NO_CONVERSION:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        address, size = _region(request[2:])
        if self._state is not _State.ERASED:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        # A download begins at the start, or continues a suspended download.
        start = address - firmware_image.BASE_ADDRESS
        if start != len(self._written) or not 0 < size <= firmware_image.FLASH_SIZE - start:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        self._state = _State.DOWNLOADING
        self._end = start + size
        self._counter = 0
        self._first_block = True
        return bytes([Sid.REQUEST_DOWNLOAD + POSITIVE, 0x20]) + self.block_length.to_bytes(2, "big")

    def transfer(self, request: bytes) -> bytes:
        """Write a block: TransferData (14.4). Raises Refused."""
        self._require_download()
        if not 3 <= len(request) <= self.block_length:
            raise Refused(Nrc.INCORRECT_LENGTH)
        counter, data = request[1], request[2:]
        response = bytes([Sid.TRANSFER_DATA + POSITIVE, counter])
        if counter == self._counter and not self._first_block:
            return response  # the response was lost: the block is already written (14.4.1)
        if counter != (self._counter + 1) % 0x100:
            raise Refused(Nrc.WRONG_BLOCK_SEQUENCE_COUNTER)
        if len(self._written) + len(data) > self._end:
            self._suspend()
        self._fail_sometimes()
        self._written += data
        self._counter = counter
        self._first_block = False
        return response

    def exit(self, request: bytes) -> bytes:
        """End a download: RequestTransferExit (14.5). Raises Refused."""
        self._require_download()
        if len(request) != 1:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if len(self._written) < self._end:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)
        self._state = _State.ERASED
        return bytes([Sid.REQUEST_TRANSFER_EXIT + POSITIVE])

    def _require_download(self) -> None:
        if self._state is not _State.DOWNLOADING:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)

    def _fail_sometimes(self) -> None:
        if self._rng.random() >= self._error_rate:
            return
        if self._rng.random() < 0.5:
            self._narration.injected("the ECU suspends the transfer (0x71)")
            self._suspend()
        self._narration.injected("a block cannot be written (0x72)")
        raise Refused(Nrc.GENERAL_PROGRAMMING_FAILURE)

    def _suspend(self) -> None:
        """Suspend the download: written bytes stay, and the tester has to request the rest (annex A.1, 0x71)."""
        self._state = _State.ERASED
        raise Refused(Nrc.TRANSFER_DATA_SUSPENDED)


def region(address: int, size: int) -> bytes:
    """Return address and size as encoded in requests."""
    return bytes([ADDRESS_FORMAT]) + address.to_bytes(4, "big") + size.to_bytes(4, "big")


def _region(parameters: bytes) -> tuple[int, int]:
    if parameters[0] != ADDRESS_FORMAT:
        raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
    return int.from_bytes(parameters[1:5], "big"), int.from_bytes(parameters[5:9], "big")
