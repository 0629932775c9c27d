"""Frames of the quality test: the fixed format, and everything that makes a frame corrupt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.protocol.quality_frame import (
    Corrupt,
    QualityFrame,
    classic_payload,
    crc32c,
    fd_payload,
    has_magic,
    parse,
)

TEST_IDS = st.integers(0, 0xFF)
SEQUENCES = st.integers(0, (1 << 64) - 1)


def test_a_classic_frame_has_the_documented_bytes() -> None:
    data = classic_payload(0x1_0203, 0x0506_000, 7)
    assert data[:7].hex() == "cafe0203" + f"{0x0506_000 // 1000:04x}" + "07"
    assert data[7] == 0xCA ^ 0xFE ^ 0x02 ^ 0x03 ^ data[4] ^ data[5] ^ 0x07
    assert parse(data, fd=False) == QualityFrame(False, 7, False, 0x0203, 0x0506_000 // 1000 * 1000)


def test_an_fd_frame_has_the_documented_bytes() -> None:
    sequence, sender_us, test_id = 0x0102_0304_0506_0708, 1_000_001, 0x81
    data = fd_payload(sequence, sender_us, test_id, 64, response=True)
    assert data[:8].hex() == "cafd01" + "81" + "01" + "40" + "0018"
    assert data[8:24] == sequence.to_bytes(8) + sender_us.to_bytes(8)
    for i in range(24, 60):
        rotated = (test_id << (i & 7) | test_id >> 8 - (i & 7)) & 0xFF
        assert data[i] == (sequence + i + rotated) & 0xFF
    assert data[60:] == crc32c(data[:60]).to_bytes(4)
    assert parse(data, fd=True) == QualityFrame(True, test_id, True, sequence, sender_us)


# The usual check value, and the examples of RFC 3720, B.4.
@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"123456789", 0xE306_9283),
        (bytes(32), 0x8A91_36AA),
        (b"\xff" * 32, 0x62A8_AB43),
        (bytes(range(32)), 0x46DD_794E),
    ],
)
def test_the_checksum_matches_published_values(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@given(SEQUENCES, st.integers(0, 1 << 40), TEST_IDS, st.sampled_from([28, 32, 48, 64]), st.booleans())
def test_what_is_written_is_read(sequence: int, us: int, test_id: int, length: int, response: bool) -> None:
    written = fd_payload(sequence, us, test_id, length, response=response)
    assert len(written) == length
    assert has_magic(written)
    assert parse(written, fd=True) == QualityFrame(True, test_id, response, sequence, us)
    classic = classic_payload(sequence, us, test_id)
    assert has_magic(classic)
    assert parse(classic, fd=False) == QualityFrame(
        False, test_id, False, sequence % 65_536, us // 1000 % 65_536 * 1000
    )


@given(st.data(), SEQUENCES, TEST_IDS, st.booleans())
def test_any_changed_bit_is_noticed(data: st.DataObject, sequence: int, test_id: int, fd: bool) -> None:
    whole = fd_payload(sequence, 5, test_id, 32) if fd else classic_payload(sequence, 5, test_id)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt):
        parse(bytes(changed), fd=fd)


def resealed(**changes: int) -> bytes:
    """Return an FD frame with changed bytes (`b5=9` is byte 5) and a checksum that fits them."""
    data = bytearray(fd_payload(9, 5, 3, 64))
    for name, value in changes.items():
        data[int(name[1:])] = value
    return bytes(data[:-4]) + crc32c(bytes(data[:-4])).to_bytes(4)


@pytest.mark.parametrize(
    ("data", "fd", "reason"),
    [
        (resealed(b2=2), True, "version 2"),
        (resealed(b5=48), True, "wrong length"),
        (resealed(b7=25), True, "wrong length"),
        (resealed(b30=0), True, "wrong pattern"),
        (resealed(b3=4), True, "wrong pattern"),
        (resealed()[:24], True, "24 bytes"),
        (classic_payload(1, 2, 3), True, "8 bytes"),
        (fd_payload(1, 2, 3, 64), False, "64 bytes"),
        (bytes(8), False, "no magic"),
        (bytes(64), True, "no magic"),
        (b"", False, "0 bytes"),
    ],
)
def test_invalid_frames_say_why(data: bytes, fd: bool, reason: str) -> None:
    with pytest.raises(Corrupt, match=reason):
        parse(data, fd=fd)


def test_the_magic_is_in_the_first_two_bytes() -> None:
    assert has_magic(b"\xca\xfe")
    assert has_magic(b"\xca\xfd" + bytes(20))
    assert not has_magic(b"\xca")
    assert not has_magic(bytes(8))


def test_counters_wrap() -> None:
    assert fd_payload((1 << 64) + 5, (1 << 64) + 6, 7, 32) == fd_payload(5, 6, 7, 32)
    assert classic_payload((1 << 16) + 5, (1 << 16) * 1000 + 6000, 7) == classic_payload(5, 6000, 7)
    assert classic_payload(5, 6999, 7) == classic_payload(5, 6000, 7) != classic_payload(5, 7000, 7)
