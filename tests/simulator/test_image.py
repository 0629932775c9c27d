"""The firmware image and its checksum."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.simulator import image


@given(st.integers(image.MIN_SIZE, 5_000), st.integers(0, 99))
def test_an_image_is_whole_and_has_its_size_and_version(size: int, seed: int) -> None:
    made = image.build(size, "SW_V02.15.004", random.Random(seed))
    assert len(made) == size
    assert image.is_whole(made)
    assert image.version_of(made) == "SW_V02.15.004"
    assert made[-4:] == zlib.crc32(made[:-4]).to_bytes(4)


@given(st.data())
def test_no_byte_can_change_or_go_missing(data: st.DataObject) -> None:
    made = image.build(500, "1", random.Random(1))
    at, by = data.draw(st.integers(0, 499)), data.draw(st.integers(1, 255))
    assert not image.is_whole(made[:at] + bytes([made[at] ^ by]) + made[at + 1 :])
    assert not image.is_whole(made[:at] + made[at + 1 :])
    assert not image.is_whole(made[:at])


@pytest.mark.parametrize("size", [0, image.MIN_SIZE - 1, image.FLASH_SIZE + 1])
def test_sizes_that_no_image_has(size: int) -> None:
    with pytest.raises(ValueError, match="an image has"):
        image.build(size, "1", random.Random(1))
