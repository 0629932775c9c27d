from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.slcan.decoder import SlcanDecoder, controller_state
from cancorderd.protocol.frame import BRS, DLC_LENGTHS, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID, Frame
from cancorderd.protocol.packets import PacketDecoder

STAMP = 1_700_000_000_000_000


def decoded(decoder: SlcanDecoder, *chunks: bytes) -> list[Frame]:
    wire = PacketDecoder()
    count = 0
    for chunk in chunks:
        batch = decoder.decode(chunk, STAMP)
        wire.receive(batch.packets)
        count += batch.frames
    frames = list(wire.frames())
    assert wire.pending == 0
    assert count == len(frames)
    return frames


def frame(arbitration_id: int, flags: int = 0, data: str = "") -> Frame:
    return Frame(STAMP, arbitration_id, flags, bytes.fromhex(data))


FRAMES = [
    (b"t1230\r", frame(0x123)),
    (b"t7FF2AABB\r", frame(0x7FF, 0, "AABB")),
    (b"t00081122334455667788\r", frame(0, 0, "1122334455667788")),
    (b"t1231ab\r", frame(0x123, 0, "AB")),
    (b"T000001230\r", frame(0x123, EXTENDED)),
    (b"T1FFFFFFF81122334455667788\r", frame(0x1FFFFFFF, EXTENDED, "1122334455667788")),
    (b"d1239" + b"00" * 12 + b"\r", frame(0x123, FD, "00" * 12)),
    (b"D000001232AABB\r", frame(0x123, FD | EXTENDED, "AABB")),
    (b"b123F" + b"5A" * 64 + b"\r", frame(0x123, FD | BRS, "5A" * 64)),
    (b"B12345678A" + b"01" * 16 + b"\r", frame(0x12345678, FD | BRS | EXTENDED, "01" * 16)),
    (b"t1231ABEA5F\r", frame(0x123, 0, "AB")),  # with the adapter's time stamp
    (b"T000001231ABEA5F\r", frame(0x123, EXTENDED, "AB")),
    (
        b"t123F1122334455667788\r",
        frame(0x123, 0, "1122334455667788"),
    ),  # ISO 11898-1: 9 to 15 stand for 8 bytes
]


@pytest.mark.parametrize(("text", "expected"), FRAMES, ids=[text[:10].decode().strip() for text, _ in FRAMES])
def test_frame_whole_and_byte_by_byte(text: bytes, expected: Frame) -> None:
    assert decoded(SlcanDecoder(), text) == [expected]
    assert decoded(SlcanDecoder(), *(text[index : index + 1] for index in range(len(text)))) == [expected]


@pytest.mark.parametrize(("text", "expected"), FRAMES, ids=[text[:10].decode().strip() for text, _ in FRAMES])
def test_frame_whose_head_is_known(text: bytes, expected: Frame) -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, text, text, text + text) == [expected] * 4
    refusing = SlcanDecoder(lambda _id, _extended: False)
    assert decoded(refusing, text, text, text + text) == []
    assert decoder.malformed == refusing.malformed == 0


@pytest.mark.parametrize(
    ("text", "frames", "malformed"),
    [
        (b"t1232AAB\r", 0, 1),
        (b"t1232AAXX\r", 0, 1),
        (b"t1232\rt1230", 0, 1),
        (b"t1230\rt123\r", 1, 1),
        (b"t1232AA\0B\r", 0, 1),
        (b"t1232AABB\n", 1, 0),
        (b"\rt1232AABB\r", 1, 0),
    ],
)
def test_text_as_long_as_a_known_frame_is_read_as_any_other(text: bytes, frames: int, malformed: int) -> None:
    decoder = SlcanDecoder()
    decoder.decode(b"t1232AABB\rt1230\r", STAMP)
    assert len(decoded(decoder, text)) == frames
    assert decoder.malformed == malformed
    assert decoded(decoder, b"\rt1232AABB\r")[-1] == frame(0x123, 0, "AABB")


MALFORMED = [
    b"t12\r",
    b"t1G30\r",
    b"t+123\r",
    b"t1_30\r",
    b"t 120\r",
    b"t8000\r",
    b"t1239112233445566778899\r",
    b"t1232AA\r",
    b"t1232AABBCC\r",
    b"t1232AAB\r",
    b"t1232AAGG\r",
    b"t1230EA5\r",
    b"t1230EA5FF\r",
    b"t123\r",
    b"t\r",
    b"T200000000\r",
    b"T0000012\r",
    b"t123F11223344556677\r",
    b"r12\r",
    b"r8001\r",
    b"r1232A\r",
    b"r1232AAGG\r",
    b"r1232AA\r",
    b"ready\r",
    b"hello\r",
    b"Voltage: 12.31 V\r",
    b"Failed\r",
    b"NMEA,1,2\r",
    b"\xff\xfe\x00\r",
    b"t1231\xe9\xe9\r",
    b"x" * 100_000 + b"\r",
]


@pytest.mark.parametrize("text", MALFORMED, ids=[repr(text[:12]) for text in MALFORMED])
def test_malformed_line_is_counted_once_and_the_next_frame_is_read(text: bytes) -> None:
    decoder = SlcanDecoder()
    assert decoded(decoder, text, b"t1230\r") == [frame(0x123)]
    assert decoder.malformed == 1
    # The same again, now that the heads of good lines are cached.
    assert decoded(decoder, b"t1232AABB\r", text, b"t1232AABB\r") == [frame(0x123, 0, "AABB")] * 2
    assert decoder.malformed == 2


def test_garbage_without_end_is_bounded_and_counted_once() -> None:
    decoder = SlcanDecoder()
    for _ in range(1000):
        decoder.decode(b"\x00" * 4096, STAMP)
    assert len(decoder._rest) < 4096
    assert decoded(decoder, b"\rt1230\r") == [frame(0x123)]
    assert decoder.malformed == 1


def test_answers_refusals_and_remote_frames_give_no_packets() -> None:
    decoder = SlcanDecoder()
    text = b"\rz\rZ\rV1013\rNLAB1\rF04\r\at1230\rr1232\rR000001238\r\a"
    assert decoded(decoder, text) == [frame(0x123)]
    assert (decoder.refusals, decoder.remote_frames, decoder.malformed) == (2, 2, 0)
    assert decoder.answers == [b"V1013", b"NLAB1", b"F04"]


def test_filtered_frames_are_not_malformed() -> None:
    decoder = SlcanDecoder(lambda arbitration_id, extended: arbitration_id == 0x123 and not extended)
    assert decoded(decoder, b"t1230\rt1240\rT000001230\rt1231AA\r") == [frame(0x123), frame(0x123, 0, "AA")]
    assert decoder.malformed == 0


def test_noise_cannot_grow_the_cache() -> None:
    decoder = SlcanDecoder()
    decoder.decode(b"".join(b"T%08X0\r" % number for number in range(50_000)), STAMP)
    assert len(decoder._heads) <= 8192


def test_stamps_keep_the_adapters_distances_over_the_wrap() -> None:
    decoder = SlcanDecoder()
    first = decoded(decoder, b"t1230E678\r")[0]  # 59,000 ms
    batch = decoder.decode(b"t1230E678\rt1230EA5F\rt1230000A\r", STAMP + 1_015_000)
    wire = PacketDecoder()
    wire.receive(batch.packets)
    distances = [later.timestamp_us - first.timestamp_us for later in wire.frames()]
    assert distances == pytest.approx([0, 999_000, 1_010_000], abs=6000)


@pytest.mark.parametrize(
    ("flags", "state"),
    [(0, "error-active"), (0x04, "error-warning"), (0x24, "error-passive"), (0x80, "error-active")],
)
def test_controller_state(flags: int, state: str) -> None:
    assert controller_state(flags) == state


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, Frame]:
    kind = draw(st.sampled_from("tTdDbB"))
    flags = {"t": 0, "d": FD, "b": FD | BRS}[kind.lower()] | (EXTENDED if kind.isupper() else 0)
    arbitration_id = draw(st.integers(0, MAX_EXTENDED_ID if kind.isupper() else MAX_STANDARD_ID))
    code = draw(st.integers(0, 15 if flags & FD else 8))
    data = draw(st.binary(min_size=DLC_LENGTHS[code], max_size=DLC_LENGTHS[code]))
    digits = 8 if kind.isupper() else 3
    text = f"{kind}{arbitration_id:0{digits}X}{code:X}{data.hex().upper()}\r"
    return text.encode(), Frame(STAMP, arbitration_id, flags, data)


@given(st.lists(lines(), max_size=20), st.lists(st.integers(1, 60), min_size=1))
def test_any_split_gives_the_same_frames(sent: list[tuple[bytes, Frame]], sizes: list[int]) -> None:
    text = b"".join(line for line, _ in sent)
    chunks = []
    turn = 0
    while text:
        size = sizes[turn % len(sizes)]
        chunks.append(text[:size])
        text, turn = text[size:], turn + 1
    decoder = SlcanDecoder()
    assert decoded(decoder, *chunks) == [expected for _, expected in sent]
    assert decoder.malformed == 0


@given(st.lists(st.binary(max_size=60), max_size=30))
def test_noise_never_raises_and_the_next_frame_is_found(chunks: list[bytes]) -> None:
    decoder = SlcanDecoder()
    for chunk in chunks:
        decoder.decode(chunk, STAMP)
    decoder.decode(b"\r", STAMP)
    assert decoded(decoder, b"t1232AABB\r") == [frame(0x123, 0, "AABB")]


@pytest.mark.parametrize("digits", [b"ZZZZ", b"ZZZZZZZZ", b"1234567", b"123456789"])
def test_line_with_other_text_in_place_of_a_stamp_is_malformed(digits: bytes) -> None:
    decoder = SlcanDecoder()
    assert decoder.decode(b"t1231AB" + digits + b"\r", 1_000_000).frames == 0
    assert decoder.malformed == 1
