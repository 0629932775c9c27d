"""Bodies of messages: whole, compressed, filtered, cut to a span of time, damaged."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.nats.bodies import MOST_BYTES, BodyDecoder, BodyError
from cancorderd.adapters.nats.moments import Span
from cancorderd.hub.headers import BatchHead, BatchId
from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.protocol.packets import HEADER, PacketDecoder, encode_all

FRAMES = [Frame(1000 + 10 * index, 0x100 + index, 0, bytes([index])) for index in range(20)]


def head(frames: list[Frame] = FRAMES, *, compressed: bool = False) -> BatchHead:
    batch = BatchId("00000000000000a1", 1)
    return BatchHead(
        batch, len(frames), 0, frames[0].timestamp_us, frames[-1].timestamp_us, compressed=compressed
    )


def everything(_arbitration_id: int, _extended: bool) -> bool:
    return True


def frames_of(packets: bytes) -> list[Frame]:
    decoder = PacketDecoder()
    decoder.receive(packets)
    return list(decoder.frames())


def test_whole_body_passes_as_it_is() -> None:
    body = encode_all(FRAMES)
    batch = BodyDecoder(everything).decode(body, head())
    assert batch.packets is body
    assert batch.frames == 20


def test_whole_body_may_end_with_a_frame_without_bytes() -> None:
    frames = [FRAMES[0], FRAMES[1]._replace(data=b"")]
    body = encode_all(frames)
    batch = BodyDecoder(everything).decode(body, head(frames))
    assert batch.packets is body
    assert batch.frames == 2


def test_compressed_body() -> None:
    batch = BodyDecoder(everything).decode(zlib.compress(encode_all(FRAMES)), head(compressed=True))
    assert frames_of(batch.packets) == FRAMES


def test_filters_pass_their_ids_only() -> None:
    batch = BodyDecoder(lambda number, extended: number == 0x103 and not extended).decode(
        encode_all(FRAMES), head()
    )
    assert frames_of(batch.packets) == [FRAMES[3]]
    assert batch.frames == 1


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(1000, 1190), FRAMES),
        (Span(1045, 1090), FRAMES[5:10]),
        (Span(0, 1000), FRAMES[:1]),
        (Span(1190), FRAMES[19:]),
        (Span(1191), []),
    ],
)
def test_frames_outside_the_span_are_left_out(span: Span, expected: list[Frame]) -> None:
    decoder = BodyDecoder(everything, span)
    assert frames_of(decoder.decode(encode_all(FRAMES), head()).packets) == expected
    assert decoder.malformed == 0


def test_frames_that_can_does_not_have_are_left_out_and_counted() -> None:
    strange = HEADER.pack(1, 0x123, 0, 9) + bytes(9) + HEADER.pack(1, 0x800, 0, 0)
    decoder = BodyDecoder(everything)
    for _ in range(2):  # the second time, the head is known
        batch = decoder.decode(encode_all(FRAMES[:2]) + strange + encode_all(FRAMES[2:]), head())
        assert frames_of(batch.packets) == FRAMES
    assert decoder.malformed == 4


def test_body_that_is_cut_gives_its_good_part() -> None:
    decoder = BodyDecoder(everything)
    batch = decoder.decode(encode_all(FRAMES)[:-1], head())
    assert frames_of(batch.packets) == FRAMES[:-1]
    assert decoder.malformed == 1


@pytest.mark.parametrize(
    "body", [b"", b"no zlib", zlib.compress(bytes(100))[:-5], zlib.compress(bytes(MOST_BYTES + 1))]
)
def test_body_that_cannot_be_decompressed_is_refused_and_counted(body: bytes) -> None:
    decoder = BodyDecoder(everything)
    with pytest.raises(BodyError, match="compress"):
        decoder.decode(body, head(compressed=True))
    assert decoder.malformed == 1


def test_number_of_frames_is_counted_not_believed() -> None:
    batch = BodyDecoder(everything).decode(encode_all(FRAMES), head()._replace(frames=7))
    assert batch.frames == 20


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_whole_packets(body: bytes, compressed: bool) -> None:
    decoder = BodyDecoder(lambda _number, extended: not extended)
    batch = decoder.decode(zlib.compress(body) if compressed else body, head(compressed=compressed))
    found = frames_of(batch.packets)
    assert len(found) == batch.frames
    assert not [frame for frame in found if frame.flags & EXTENDED]


@pytest.mark.parametrize(
    ("body", "compressed", "missing"),
    [
        (encode_all(FRAMES), False, 0),
        (encode_all(FRAMES)[:-1], False, 1),
        (encode_all(FRAMES[:7]), False, 13),
        (zlib.compress(encode_all(FRAMES[:7])), True, 13),
        (b"\xff" * 100, False, 20),
        (b"no zlib", True, 20),
        (b"", False, 20),
    ],
)
def test_frames_that_a_body_lacks_are_counted(body: bytes, compressed: bool, missing: int) -> None:
    decoder = BodyDecoder(lambda number, _extended: number == 0x103, Span(1010, 1100))
    for count in (1, 2):
        with contextlib.suppress(BodyError):
            decoder.decode(body, head(compressed=compressed))
        assert decoder.missing == count * missing


def test_headers_that_announce_more_than_any_body_holds_are_not_believed() -> None:
    decoder = BodyDecoder(everything)
    decoder.decode(encode_all(FRAMES), head()._replace(frames=10**20))
    assert decoder.missing == MOST_BYTES // HEADER.size - 20
