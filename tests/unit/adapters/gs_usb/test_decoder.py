"""Host frames made by hand after the kernel's drivers/net/can/usb/gs_usb.c."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder, transfer_bytes
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.packets import PacketDecoder

NOW_US = 1_700_000_000_000_000
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
RECEIVED = 0xFFFFFFFF


def host_frame(
    can_id: int,
    data: bytes = b"",
    *,
    code: int | None = None,
    flags: int = 0,
    channel: int = 0,
    echo: int = RECEIVED,
    stamp: int | None = None,
) -> bytes:
    head = struct.pack("<IIBBBB", echo, can_id, len(data) if code is None else code, channel, flags, 0)
    payload = data + b"\xee" * ((64 if flags & 2 else 8) - len(data))
    return head + payload + (b"" if stamp is None else struct.pack("<I", stamp))


def decoded(decoder: GsUsbDecoder, *transfers: bytes) -> list[Frame]:
    batch = decoder.decode(transfers, NOW_US)
    wire = PacketDecoder()
    wire.receive(batch.packets)
    frames = list(wire.frames())
    assert (wire.pending, batch.frames) == (0, len(frames))
    return frames


def stamped(stamp_us: int, now_us: int) -> int:
    assert now_us == NOW_US
    return 1_000_000 + stamp_us


CASES = {
    "standard": (host_frame(0x123, b"\x01\x02"), Frame(NOW_US, 0x123, 0, b"\x01\x02")),
    "extended": (
        host_frame(0x1ABCDEF0 | EFF, bytes(8)),
        Frame(NOW_US, 0x1ABCDEF0, EXTENDED, bytes(8)),
    ),
    "empty": (host_frame(0x7FF), Frame(NOW_US, 0x7FF)),
    "classic code above 8 is 8 bytes": (
        host_frame(1, bytes(8), code=15),
        Frame(NOW_US, 1, 0, bytes(8)),
    ),
    "FD": (host_frame(2, bytes(12), code=9, flags=2), Frame(NOW_US, 2, FD, bytes(12))),
    "FD with all flags": (
        host_frame(EFF | 3, bytes(range(64)), code=15, flags=2 | 4 | 8),
        Frame(NOW_US, 3, EXTENDED | FD | BRS | ESI, bytes(range(64))),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_data_frame(name: str) -> None:
    transfer, frame = CASES[name]
    assert decoded(GsUsbDecoder(), transfer) == [frame]


def test_stamps_follow_the_payload_of_either_size() -> None:
    decoder = GsUsbDecoder(epoch_us=stamped)
    frames = decoded(
        decoder, host_frame(1, b"a", stamp=5), host_frame(2, bytes(16), code=10, flags=2, stamp=7)
    )
    assert [frame.timestamp_us for frame in frames] == [1_000_005, 1_000_007]
    assert frames[1].data == bytes(16)


def test_other_channels_and_confirmations_are_skipped() -> None:
    decoder = GsUsbDecoder(channel=1)
    frames = decoded(
        decoder, host_frame(1, channel=0), host_frame(2, channel=1), host_frame(3, channel=1, echo=4)
    )
    assert [frame.arbitration_id for frame in frames] == [2]
    assert decoder.malformed == 0


def test_remote_and_error_frames_are_counted_not_sent() -> None:
    decoder = GsUsbDecoder()
    assert decoder.controller == "error-active"
    error = host_frame(ERR | 0x04, bytes([0, 0x20, 0, 0, 0, 0, 0, 0]))
    assert decoded(decoder, host_frame(RTR | 5, code=4), error, host_frame(6)) == [Frame(NOW_US, 6)]
    assert (decoder.remote_frames, decoder.error_frames) == (1, 1)
    assert decoder.controller == "error-passive"


def test_overflow_flag_is_counted_and_the_frame_sent() -> None:
    decoder = GsUsbDecoder()
    assert len(decoded(decoder, host_frame(1, flags=1), host_frame(2, flags=3, data=bytes(8)))) == 2
    assert decoder.overflows == 2


def test_frames_that_can_does_not_have_are_counted_as_malformed() -> None:
    decoder = GsUsbDecoder()
    strange = (
        host_frame(RTR | 1, flags=2),  # CAN FD has no remote frames
        host_frame(1, code=16, flags=1),  # a code beyond the highest, with the flag of an overflow
        host_frame(RTR | 1, flags=3),
    )
    assert decoded(decoder, *strange) == []
    assert (decoder.malformed, decoder.remote_frames, decoder.overflows) == (3, 0, 2)
    assert decoded(decoder, host_frame(RTR | 1), host_frame(1, code=15, data=bytes(8))) == [
        Frame(NOW_US, 1, 0, bytes(8))
    ]
    assert (decoder.malformed, decoder.remote_frames) == (3, 1)


def test_filter_drops_frames() -> None:
    decoder = GsUsbDecoder(accepts=lambda arbitration_id, extended: extended and arbitration_id == 7)
    assert len(decoded(decoder, host_frame(7), host_frame(EFF | 7), host_frame(EFF | 8))) == 1


@pytest.mark.parametrize("stamps", [None, stamped])
@pytest.mark.parametrize("flags", [0, 2])
def test_incomplete_transfer_is_malformed(stamps: None, flags: int) -> None:
    decoder = GsUsbDecoder(epoch_us=stamps)
    whole = host_frame(1, bytes(8), flags=flags, stamp=0 if stamps else None)
    assert decoded(decoder, whole[:-1], b"", whole) == [
        Frame(1_000_000 if stamps else NOW_US, 1, FD if flags else 0, bytes(8))
    ]
    assert decoder.malformed == 2


@given(st.lists(st.binary(max_size=100)))
def test_noise_gives_whole_packets_or_is_counted(transfers: list[bytes]) -> None:
    decoded(GsUsbDecoder(epoch_us=stamped), *transfers)


def test_longest_transfers() -> None:
    sizes = [transfer_bytes(fd=fd, stamped=hw) for fd in (False, True) for hw in (False, True)]
    assert sizes == [20, 24, 76, 80]
