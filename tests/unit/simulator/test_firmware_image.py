"""The firmware image and its checksum."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.simulator import firmware_image


@given(st.integers(firmware_image.MIN_SIZE, 5_000), st.integers(0, 99))
def test_an_image_is_whole_and_has_its_size_and_version(size: int, seed: int) -> None:
    firmware = firmware_image.build(size, "SW_V02.15.004", random.Random(seed))
    assert len(firmware) == size
    assert firmware_image.is_whole(firmware)
    assert firmware_image.version_of(firmware) == "SW_V02.15.004"
    assert firmware[-4:] == zlib.crc32(firmware[:-4]).to_bytes(4)


@given(st.data())
def test_a_changed_or_missing_byte_is_detected(data: st.DataObject) -> None:
    firmware = firmware_image.build(500, "1", random.Random(1))
    index, change = data.draw(st.integers(0, 499)), data.draw(st.integers(1, 255))
    assert not firmware_image.is_whole(
        firmware[:index] + bytes([firmware[index] ^ change]) + firmware[index + 1 :]
    )
    assert not firmware_image.is_whole(firmware[:index] + firmware[index + 1 :])
    assert not firmware_image.is_whole(firmware[:index])


@pytest.mark.parametrize("size", [0, firmware_image.MIN_SIZE - 1, firmware_image.FLASH_SIZE + 1])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="an image has"):
        firmware_image.build(size, "1", random.Random(1))
