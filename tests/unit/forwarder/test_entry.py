"""Records of batches on the disk: whole ones are read, whatever lies between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.forwarder.entry import Damage, Entry, read_records, record
from tests.unit.forwarder.batches import batch


def numbers(data: bytes) -> list[int]:
    return [item.head.batch.number for item, _ in read_records(data) if isinstance(item, Entry)]


def test_records_are_read_as_they_were_written() -> None:
    written = batch(7, bus="powertrain")
    written.head = written.head._replace(compressed=True)
    ((read, end),) = read_records(record(written))
    assert isinstance(read, Entry)
    assert (read.order, read.bus, read.head, read.body, read.created, read.position) == (
        written.order, written.bus, written.head, written.body, written.created, written.position,
    )  # fmt: skip
    assert read.on_disk
    assert end == len(record(written))


def test_head_of_a_batch_that_is_sent_has_what_is_known_by_then() -> None:
    entry = batch(7)
    assert entry.head_now(0, 0) == entry.head
    head = entry.head_now(5, 2)
    assert head == entry.head._replace(lost=entry.head.lost._replace(spool=5), epoch=2)
    assert entry.head_now(5, 0).lost.spool == 5
    assert entry.head_now(0, 2).epoch == 2


@given(st.integers(0, 400))
def test_torn_end_is_recognised(cut: int) -> None:
    whole = record(batch(1)) + record(batch(2))
    data = whole[: max(0, len(whole) - cut)]
    expected = [1, 2] if not cut else [1] if len(data) >= len(record(batch(1))) else []
    assert numbers(data) == expected
    damage = [item for item, _ in read_records(data) if isinstance(item, Damage)]
    assert all(each.at_end for each in damage)


@given(st.data())
def test_corrupted_middle_costs_its_own_records_only(data: st.DataObject) -> None:
    parts = [record(batch(number)) for number in (1, 2, 3)]
    content = bytearray(b"".join(parts))
    at = data.draw(st.integers(len(parts[0]), len(parts[0]) + len(parts[1]) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    assert numbers(bytes(content)) == [1, 3]


@given(st.binary(max_size=300))
def test_any_bytes_are_damage(garbage: bytes) -> None:
    data = garbage + record(batch(5))
    assert 5 in numbers(data)
    assert [end for _, end in read_records(data)][-1] == len(data)


def test_the_beginning_of_a_record_in_damage_is_passed_over() -> None:
    whole = record(batch(5))
    assert numbers(b"CcB1" * 100 + whole) == [5]
    assert numbers(b"x" + whole[:60] + whole) == [5]
    assert numbers(whole[1:] + whole) == [5]
