"""Headers of messages at the hub: encoding, parsing, and the accounting that they allow."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.hub.headers import (
    HEADER_ROOM,
    BatchHead,
    BatchId,
    HeaderError,
    Losses,
    encode,
    is_repeated,
    parse,
    parse_batch_id,
    retention_loss,
)

SPOOL = "3f2a9c0d51e8b746"
HEAD = BatchHead(
    BatchId(SPOOL, 1042), 91, 94743, 1764150000000000, 1764150000010050, Losses(1, 2, 3, 4, 5), 6, True
)
COUNT = st.integers(0, 2**64 - 1)
HEADS = st.builds(
    BatchHead,
    st.builds(BatchId, st.from_regex(r"[0-9a-f]{16}", fullmatch=True), COUNT),
    COUNT, COUNT, COUNT, COUNT, st.builds(Losses, COUNT, COUNT, COUNT, COUNT, COUNT), COUNT, st.booleans(),
)  # fmt: skip


def test_headers_are_those_of_the_contract() -> None:
    assert encode(HEAD) == {
        "Cancorder-Batch": "3f2a9c0d51e8b746.1042",
        "Cancorder-Frames": "91 94743",
        "Cancorder-Time": "1764150000000000 1764150000010050",
        "Cancorder-Lost": "kernel=1 adapter=2 unknown=3 feed=4 spool=5",
        "Cancorder-Epoch": "6",
        "Cancorder-Encoding": "zlib",
    }


def test_body_that_is_not_compressed_has_no_encoding() -> None:
    assert "Cancorder-Encoding" not in encode(HEAD._replace(compressed=False))


def test_room_for_headers_suffices_for_the_longest() -> None:
    most = 2**64 - 1
    head = BatchHead(
        BatchId("f" * 16, most), most, most, most, most, Losses(most, most, most, most, most), most, True
    )
    found = encode(head) | {
        "Nats-Expected-Stream": f"CAN_{'x' * 64}",
        "Nats-Expected-Last-Sequence": str(most),
    }
    assert (
        len("NATS/1.0\r\n" + "".join(f"{name}: {text}\r\n" for name, text in found.items()) + "\r\n")
        < HEADER_ROOM
    )


@given(HEADS)
def test_parse_returns_what_was_encoded(head: BatchHead) -> None:
    assert parse(encode(head)) == head


def test_names_in_any_case_unknown_headers_and_unknown_places_are_read() -> None:
    headers = {name.upper(): f" {value} " for name, value in encode(HEAD).items()}
    headers["CANCORDER-LOST"] += " elsewhere=7"
    assert parse({**headers, "Other": "x"}) == HEAD


def test_headers_of_a_version_without_epoch() -> None:
    headers = encode(HEAD)
    del headers["Cancorder-Epoch"]
    assert parse(headers) == HEAD._replace(epoch=0)


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("Cancorder-Batch", None, "Cancorder-Batch is missing"),
        ("Cancorder-Batch", "x.1", "Cancorder-Batch is 'x.1', not <16 hexadecimal digits>.<number>"),
        ("Cancorder-Batch", f"{SPOOL}.-1", "not <16 hexadecimal digits>.<number>"),
        ("Cancorder-Batch", f"{SPOOL.upper()}.1", "not <16 hexadecimal digits>.<number>"),
        ("Cancorder-Frames", "1", "Cancorder-Frames is '1', not 2 numbers"),
        ("Cancorder-Frames", "1 ٣", "not 2 numbers"),
        ("Cancorder-Time", "1 2 3", "Cancorder-Time is '1 2 3', not 2 numbers"),
        ("Cancorder-Lost", "kernel", "Cancorder-Lost holds 'kernel', not PLACE=NUMBER"),
        ("Cancorder-Lost", "kernel=-1", "not PLACE=NUMBER"),
        ("Cancorder-Epoch", "", "not 1 numbers"),
        ("Cancorder-Encoding", "zstd", "Cancorder-Encoding is 'zstd', which this version cannot read"),
    ],
)
def test_strange_headers_are_refused(name: str, value: str | None, fact: str) -> None:
    headers: dict[str, str] = encode(HEAD)
    if value is None:
        del headers[name]
    else:
        headers[name] = value
    with pytest.raises(HeaderError) as caught:
        parse(headers)
    assert fact in str(caught.value)


def test_message_without_headers_is_refused() -> None:
    with pytest.raises(HeaderError):
        parse(None)


@given(st.text())
def test_any_text_is_an_identity_or_refused(text: str) -> None:
    with contextlib.suppress(HeaderError):
        assert parse_batch_id(text).spool == text.partition(".")[0]


@pytest.mark.parametrize(
    ("number", "last", "repeated"),
    [(5, None, False), (5, BatchId(SPOOL, 4), False), (5, BatchId(SPOOL, 5), True), (4, BatchId(SPOOL, 5), True),
     (1, BatchId("0" * 16, 9), False)],
)  # fmt: skip
def test_repeated_batches_are_known_by_spool_id_and_number(
    number: int, last: BatchId | None, repeated: bool
) -> None:
    assert is_repeated(BatchId(SPOOL, number), last) is repeated


def head(number: int, frames: int, before: int, spool: int = 0) -> BatchHead:
    return BatchHead(BatchId(SPOOL, number), frames, before, 0, 0, Losses(spool=spool))


def test_neighbours_miss_nothing() -> None:
    assert retention_loss(head(2, 10, 10), head(1, 10, 0)) == 0


def test_frames_that_the_spool_dropped_were_not_lost_at_the_hub() -> None:
    assert retention_loss(head(4, 10, 30, spool=20), head(1, 10, 0)) == 0


def test_frames_in_no_count_were_lost_at_the_hub() -> None:
    assert retention_loss(head(4, 10, 30, spool=5), head(1, 10, 0)) == 15


def test_nothing_is_known_between_spool_ids() -> None:
    assert retention_loss(head(4, 10, 30), None) == 0
    assert retention_loss(head(4, 10, 30), BatchHead(BatchId("0" * 16, 1), 1, 0, 0, 0)) == 0
