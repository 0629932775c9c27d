from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder, controller_state
from cancorderd.protocol.frame import BRS, DLC_LENGTHS, ERROR, ESI, EXTENDED, FD, Frame
from cancorderd.protocol.internal_packets import InternalDecoder
from cancorderd.protocol.packets import PacketDecoder

if TYPE_CHECKING:
    from cancorderd.protocol.batch import Batch

EPOCH = 1_700_000_000_000_000
DATA = bytes(range(64))


def frames_of(batch: Batch) -> list[Frame]:
    decoder = PacketDecoder()
    decoder.receive(batch.packets)
    frames = list(decoder.frames())
    assert decoder.pending == 0
    assert len(frames) == batch.frames
    return frames


def message(can_id: int, bits: int = 0, code: int = 8, data: bytes = DATA, stamp_us: int = 1) -> bytes:
    seconds, micros = divmod(stamp_us, 1_000_000)
    return can_api.MESSAGE.pack(can_id, bits, code, data, seconds, micros * 1000)


def decode(decoder: ToucanDecoder, *messages: bytes, now_us: int = EPOCH) -> list[Frame]:
    return frames_of(decoder.decode(memoryview(b"".join(messages)), now_us))


CASES = [
    (message(0x123, 0, 8), Frame(EPOCH, 0x123, 0, DATA[:8])),
    (message(0x7FF, 0, 0), Frame(EPOCH, 0x7FF, 0, b"")),
    (message(0x123, can_api.XTD, 3), Frame(EPOCH, 0x123, EXTENDED, DATA[:3])),
    (message(0x1FFFFFFF, can_api.XTD, 8), Frame(EPOCH, 0x1FFFFFFF, EXTENDED, DATA[:8])),
    # classic frames may be sent with DLC above 8, and hold 8 bytes (ISO 11898-1:2015, 10.4.2.4)
    (message(0x123, 0, 15), Frame(EPOCH, 0x123, 0, DATA[:8])),
    (message(0x123, can_api.FDF, 9), Frame(EPOCH, 0x123, FD, DATA[:12])),
    (message(0x123, can_api.FDF | can_api.BRS, 15), Frame(EPOCH, 0x123, FD | BRS, DATA)),
    (message(0x123, can_api.FDF | can_api.ESI, 8), Frame(EPOCH, 0x123, FD | ESI, DATA[:8])),
    # no BRS and ESI without FD
    (message(0x123, can_api.BRS | can_api.ESI, 8), Frame(EPOCH, 0x123, 0, DATA[:8])),
]


@pytest.mark.parametrize(("given_message", "frame"), CASES)
def test_message_becomes_a_packet(given_message: bytes, frame: Frame) -> None:
    assert decode(ToucanDecoder(), given_message) == [frame]


@pytest.mark.parametrize("code", range(16))
def test_dlc_becomes_a_length(code: int) -> None:
    (frame,) = decode(ToucanDecoder(), message(1, can_api.FDF, code))
    assert len(frame.data) == DLC_LENGTHS[code]


@pytest.mark.parametrize(
    ("bad", "remote", "error"),
    [
        (message(0x123, can_api.RTR, 8), 1, 0),
        (message(0, can_api.STS, 4, b"\0\0\0\0"), 0, 1),
        (message(0x800, 0, 8), 0, 1),
        (message(0x2000_0000, can_api.XTD, 8), 0, 1),
        (message(0x123, can_api.FDF, 16), 0, 1),
    ],
)
def test_messages_without_a_form_on_the_wire_are_counted(bad: bytes, remote: int, error: int) -> None:
    decoder = ToucanDecoder()
    good = message(1, 0, 0, stamp_us=7)
    assert len(decode(decoder, good, bad, good)) == 2
    assert (decoder.remote_frames, decoder.error_frames) == (remote, error)


def test_status_message_reports_the_bus() -> None:
    decoder = ToucanDecoder()
    decode(decoder, message(0, can_api.STS, 4, b"\x21\0\0\0"))
    assert decoder.status == can_api.WARNING
    decode(decoder, message(0, can_api.STS, 0, b"\x40"))  # without data it reports nothing
    assert decoder.status == can_api.WARNING


def internal(decoder: ToucanDecoder, *messages: bytes) -> list[Frame]:
    """Return the frames that readers inside the machine get."""
    decoder.internal = True
    wire = InternalDecoder()
    wire.receive(decoder.decode(memoryview(b"".join(messages)), EPOCH).whole().packets)
    return list(wire.frames())


@pytest.mark.parametrize(
    ("status", "error_class", "detail"),
    [
        (0, 0x04, 0x40),  # linux/can/error.h: CAN_ERR_CRTL, CAN_ERR_CRTL_ACTIVE
        (can_api.BUS_OFF, 0x40, 0),
        (can_api.BUS_ERROR, 0x80, 0),
        (can_api.BUS_OFF | can_api.BUS_ERROR, 0xC0, 0),
        (can_api.WARNING, 0x04, 0x0C),
        (can_api.WARNING | can_api.BUS_ERROR, 0x84, 0x0C),
        (can_api.MESSAGE_LOST, 0x04, 0x01),
        (can_api.QUEUE_OVERRUN, 0x04, 0x01),
    ],
)
def test_status_is_an_error_frame_for_readers_inside_the_machine(
    status: int, error_class: int, detail: int
) -> None:
    (frame,) = internal(ToucanDecoder(), message(0, can_api.STS, 4, bytes([status, 0, 0, 0])))
    assert (frame.arbitration_id, frame.flags, frame.data) == (
        error_class,
        ERROR,
        bytes([0, detail, *bytes(6)]),
    )


def test_remote_frames_pass_the_filters_for_readers_inside_the_machine() -> None:
    decoder = ToucanDecoder(lambda can_id, extended: can_id == 0x100 and not extended)
    remote = [
        message(0x100, can_api.RTR, 15),
        message(0x100, can_api.RTR | can_api.XTD, 4),
        message(0x101, can_api.RTR, 4),
        message(0x100, can_api.RTR, 16),
        message(0x100, can_api.RTR | can_api.FDF, 4),
    ]
    assert [(frame.arbitration_id, len(frame.data)) for frame in internal(decoder, *remote)] == [(0x100, 8)]


def test_filters_drop_frames() -> None:
    decoder = ToucanDecoder(lambda can_id, extended: can_id == 0x100 and not extended)
    frames = decode(decoder, message(0x100), message(0x100, can_api.XTD), message(0x101))
    assert [(frame.arbitration_id, frame.flags) for frame in frames] == [(0x100, 0)]


def test_stamps_keep_the_adapters_distances_over_its_wrap() -> None:
    decoder = ToucanDecoder()
    before, after = (1 << 32) - 300, (1 << 32) + 200
    (first,) = decode(decoder, message(1, stamp_us=before), now_us=EPOCH)
    # the library extended one stamp over the wrap, but not the next
    (second,) = decode(decoder, message(1, stamp_us=after), now_us=EPOCH + 900)
    (third,) = decode(decoder, message(1, stamp_us=after % (1 << 32) + 50), now_us=EPOCH + 1200)
    assert [first.timestamp_us, second.timestamp_us, third.timestamp_us] == [EPOCH, EPOCH + 500, EPOCH + 550]


def test_messages_that_were_read_late_are_not_taken_for_punctual() -> None:
    """The thread could not read for 0.2 s: the last message is new, the first is not."""
    messages = [message(1, stamp_us=1 + at) for at in range(0, 200_001, 1000)]
    stamps = [frame.timestamp_us for frame in decode(ToucanDecoder(), *messages, now_us=EPOCH)]
    assert stamps == list(range(EPOCH - 200_000, EPOCH + 1, 1000))


def test_messages_out_of_order_do_not_turn_stamps_back() -> None:
    frames = decode(
        ToucanDecoder(), message(1, stamp_us=500), message(2, stamp_us=400), message(3, stamp_us=450)
    )
    stamps = [frame.timestamp_us for frame in frames]
    assert stamps == sorted(stamps)
    assert stamps[0] >= EPOCH - 100
    assert stamps[-1] <= EPOCH + 100


def test_arrival_is_the_stamp_if_the_library_has_none() -> None:
    decoder = ToucanDecoder()
    assert decode(decoder, message(1, stamp_us=0), now_us=EPOCH + 5)[0].timestamp_us == EPOCH + 5


@given(st.lists(st.sampled_from([case[0] for case in CASES]), max_size=20), st.data())
def test_any_split_gives_the_same_frames(messages: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(messages)))
    decoder = ToucanDecoder()
    split = decode(decoder, *messages[:cut]) + decode(decoder, *messages[cut:])
    assert split == decode(ToucanDecoder(), *messages)


@pytest.mark.parametrize(
    ("bits", "state"),
    [(0, "error-active"), (0x11, "error-active"), (0x30, "error-warning"), (0x60, "bus-off")],
)
def test_controller_state_in_status_bits(bits: int, state: str) -> None:
    assert controller_state(bits) == state


def test_times_of_arrival_never_run_backwards_when_the_clock_was_found_to_be_none() -> None:
    """Its stamps advance twice as fast, so they would put the messages of a read too far into the past."""
    decoder = ToucanDecoder()
    packets = b""
    for read in range(500):
        now_us = 1_700_000_000_000_000 + read * 20_000
        messages = b"".join(
            can_api.MESSAGE.pack(1, 0, 0, b"", 9, 2000 * (read * 20_000 + at * 5_000)) for at in range(4)
        )
        batch = decoder.decode(memoryview(messages), now_us)
        packets += decoder.clock.checked(batch, now_us, read * 20_000).packets
    assert decoder.clock.fault
    stamps = [int.from_bytes(packets[at : at + 8]) for at in range(0, len(packets), 14)]
    assert stamps == sorted(stamps)
