"""Flash memory: downloads with errors, suspended and resumed."""

from __future__ import annotations

import random

import pytest

from cancorderd.simulator import firmware_image
from cancorderd.simulator.flash_memory import FlashMemory, region
from cancorderd.simulator.uds import Nrc, Refused
from tests.unit.simulator.server_bench import BLOCK_LENGTH, BLOCKS, DOWNLOAD, IMAGE


def erased(error_rate: float = 0.0, seed: int = 1) -> FlashMemory:
    flash = FlashMemory(random.Random(seed), BLOCK_LENGTH, error_rate)
    flash.erase(region(firmware_image.BASE_ADDRESS, firmware_image.FLASH_SIZE))
    return flash


def rest(written: int) -> bytes:
    return b"\x34\x00" + region(firmware_image.BASE_ADDRESS + written, len(IMAGE) - written)


def refusal(flash: FlashMemory, request: bytes) -> Nrc:
    with pytest.raises(Refused) as refused:
        flash.transfer(request)
    return refused.value.nrc


def write(flash: FlashMemory, data: bytes) -> list[Nrc]:
    """Write all of `data` like a tester, in spite of refusals. Return the refusals' codes."""
    refusals = []
    written = 0
    while written < len(data):
        flash.request_download(
            b"\x34\x00" + region(firmware_image.BASE_ADDRESS + written, len(data) - written)
        )
        counter = 1
        while written < len(data):
            try:
                flash.transfer(bytes([0x36, counter % 0x100]) + data[written : written + BLOCK_LENGTH - 2])
            except Refused as refused:
                refusals.append(refused.nrc)
                if refused.nrc == Nrc.TRANSFER_DATA_SUSPENDED:
                    break
            else:
                written, counter = written + BLOCK_LENGTH - 2, counter + 1
    flash.exit(b"\x37")
    return refusals


def test_the_block_counter_wraps_from_ff_to_00() -> None:
    flash = erased()
    firmware = firmware_image.build(300 * (BLOCK_LENGTH - 2), "7", random.Random(2))
    assert write(flash, firmware) == []
    assert flash.check() == b"\x00"
    assert flash.version == "7"


def test_a_repeated_block_is_written_once() -> None:
    flash = erased()
    flash.request_download(DOWNLOAD)
    for number, block in enumerate(BLOCKS, 1):
        for _ in range(3):
            assert flash.transfer(bytes([0x36, number]) + block) == bytes([0x76, number])
    flash.exit(b"\x37")
    assert flash.check() == b"\x00"


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_written_in_spite_of_errors(seed: int) -> None:
    flash = erased(error_rate=0.3, seed=seed)
    firmware = firmware_image.build(6_000, "8", random.Random(seed))
    refusals = write(flash, firmware)
    assert set(refusals) == {Nrc.TRANSFER_DATA_SUSPENDED, Nrc.GENERAL_PROGRAMMING_FAILURE}
    assert flash.check() == b"\x00"


def test_a_suspended_transfer_is_resumed() -> None:
    flash = erased()
    flash.request_download(DOWNLOAD)
    flash.transfer(b"\x36\x01" + BLOCKS[0])
    flash.abort()
    assert refusal(flash, b"\x36\x02" + BLOCKS[1]) == Nrc.REQUEST_SEQUENCE_ERROR
    with pytest.raises(Refused, match="OUT_OF_RANGE"):
        flash.request_download(DOWNLOAD)
    flash.request_download(rest(len(BLOCKS[0])))
    for number, block in enumerate(BLOCKS[1:], 1):
        flash.transfer(bytes([0x36, number]) + block)
    flash.exit(b"\x37")
    assert flash.check() == b"\x00"


def test_data_beyond_the_requested_size_suspends_the_transfer() -> None:
    flash = erased()
    flash.request_download(b"\x34\x00" + region(firmware_image.BASE_ADDRESS, 10))
    assert refusal(flash, b"\x36\x01" + bytes(11)) == Nrc.TRANSFER_DATA_SUSPENDED
    assert refusal(flash, b"\x36\x01" + bytes(10)) == Nrc.REQUEST_SEQUENCE_ERROR


def test_a_changed_byte_fails_the_check() -> None:
    flash = erased()
    assert write(flash, IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])) == []
    assert flash.check() == b"\x01"
    assert flash.version is None


def test_erasing_discards_the_image() -> None:
    flash = erased()
    write(flash, IMAGE)
    flash.check()
    flash.erase(region(firmware_image.BASE_ADDRESS, firmware_image.FLASH_SIZE))
    assert flash.check() == b"\x01"
    assert write(flash, IMAGE) == []
    assert flash.check() == b"\x00"
