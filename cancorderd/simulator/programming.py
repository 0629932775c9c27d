"""The ECU's flash memory: erase, download, check (ISO 14229-1:2013, annex F.1 and clause 14). Pure.

Who may do this in which session is `server`'s business.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from cancorderd.simulator import image
from cancorderd.simulator.uds import POSITIVE, Nrc, Refused, Sid

if TYPE_CHECKING:
    import random

ADDRESS_FORMAT = 0x44
"""Four bytes of address, four of size (annex H.1)."""
NO_CONVERSION = 0x00
"""dataFormatIdentifier: neither compressed nor encrypted."""

PASSED = 0x00
FAILED = 0x01


class _Phase(enum.Enum):
    PROGRAMMED = enum.auto()
    ERASED = enum.auto()
    DOWNLOADING = enum.auto()


class Flash:
    """What has been written, and the download that is under way."""

    def __init__(self, rng: random.Random, block_length: int, error_rate: float) -> None:
        self.block_length = block_length
        """maxNumberOfBlockLength: a TransferData request, service id and counter included."""
        self.version: str | None = None
        """Of the last image that passed the check."""
        self._rng = rng
        self._error_rate = error_rate
        self._phase = _Phase.PROGRAMMED
        self._written = bytearray()
        self._end = 0
        self._counter = 0
        self._first_block = True

    def abort(self) -> None:
        """The session ended: so does a download."""
        if self._phase is _Phase.DOWNLOADING:
            self._phase = _Phase.ERASED

    def erase(self, parameters: bytes) -> bytes:
        """Routine 0xFF00. Raises Refused."""
        if len(parameters) != 9:
            raise Refused(Nrc.INCORRECT_LENGTH)
        address, size = _region(parameters)
        if (address, size) != (image.BASE_ADDRESS, image.FLASH_SIZE):
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)  # it erases the whole block or nothing
        self._phase = _Phase.ERASED
        self._written = bytearray()
        return bytes([PASSED])

    def check(self) -> bytes:
        """Routine 0xFF01: whether what was written is an image, and whole."""
        whole = self._phase is _Phase.ERASED and image.is_whole(bytes(self._written))
        if not whole:
            return bytes([FAILED])
        self._phase = _Phase.PROGRAMMED
        self.version = image.version_of(bytes(self._written))
        return bytes([PASSED])

    def request_download(self, request: bytes) -> bytes:
        """0x34 (14.2). Raises Refused."""
        if len(request) != 11:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if request[1] != NO_CONVERSION:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        address, size = _region(request[2:])
        if self._phase is not _Phase.ERASED:
            raise Refused(Nrc.CONDITIONS_NOT_CORRECT)
        # A download begins at the start, or goes on where one was suspended.
        start = address - image.BASE_ADDRESS
        if start != len(self._written) or not 0 < size <= image.FLASH_SIZE - start:
            raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
        self._phase = _Phase.DOWNLOADING
        self._end = start + size
        self._counter = 0
        self._first_block = True
        return bytes([Sid.REQUEST_DOWNLOAD + POSITIVE, 0x20]) + self.block_length.to_bytes(2, "big")

    def transfer(self, request: bytes) -> bytes:
        """0x36 (14.4). Raises Refused."""
        self._demand_download()
        if not 3 <= len(request) <= self.block_length:
            raise Refused(Nrc.INCORRECT_LENGTH)
        counter, data = request[1], request[2:]
        response = bytes([Sid.TRANSFER_DATA + POSITIVE, counter])
        if counter == self._counter and not self._first_block:
            return response  # our response was lost: the block is there already (14.4.1)
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
        """0x37 (14.5). Raises Refused."""
        self._demand_download()
        if len(request) != 1:
            raise Refused(Nrc.INCORRECT_LENGTH)
        if len(self._written) < self._end:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)
        self._phase = _Phase.ERASED
        return bytes([Sid.REQUEST_TRANSFER_EXIT + POSITIVE])

    def _demand_download(self) -> None:
        if self._phase is not _Phase.DOWNLOADING:
            raise Refused(Nrc.REQUEST_SEQUENCE_ERROR)

    def _fail_sometimes(self) -> None:
        if self._rng.random() >= self._error_rate:
            return
        if self._rng.random() < 0.5:
            self._suspend()
        raise Refused(Nrc.GENERAL_PROGRAMMING_FAILURE)

    def _suspend(self) -> None:
        """What was written stays; the tester has to request the download of the rest (annex A.1, 0x71)."""
        self._phase = _Phase.ERASED
        raise Refused(Nrc.TRANSFER_DATA_SUSPENDED)


def region(address: int, size: int) -> bytes:
    """An address and a size as requests carry them."""
    return bytes([ADDRESS_FORMAT]) + address.to_bytes(4, "big") + size.to_bytes(4, "big")


def _region(parameters: bytes) -> tuple[int, int]:
    if parameters[0] != ADDRESS_FORMAT:
        raise Refused(Nrc.REQUEST_OUT_OF_RANGE)
    return int.from_bytes(parameters[1:5], "big"), int.from_bytes(parameters[5:9], "big")
