"""Order of batches between memory, disk and hub; what is kept and what is dropped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cancorderd.forwarder.outbox import MEMORY_BYTES, Outbox, Segment
from cancorderd.forwarder.resume import Mark
from tests.unit.forwarder.batches import SPOOL, batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.forwarder.entry import Entry

FAR = float("inf")
MUCH = 1 << 40


class Rig:
    """An outbox, and a disk that is a list of batches by segment."""

    def __init__(self, *, keep: int = 0, limit: int = 1 << 20) -> None:
        self.dropped: Counter[str] = Counter()
        self.outbox = Outbox(keep, limit, lambda bus, frames: self.dropped.update({bus: frames}))
        self.files: dict[str, list[Entry]] = {}
        self.sent: list[Entry] = []

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.outbox.add(batch(number))

    def spill(
        self,
        before_s: float = FAR,
        *,
        name: str = "1",
        complete: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[int]:
        """Write batches; `meanwhile` is called while the disk is busy."""
        entries = self.outbox.to_spill(before_s, self.sent)
        if entries:
            self.outbox.writing = entries[-1].order
            meanwhile()
            segment = next((each for each in self.outbox.segments if each.path == name), None) or Segment(
                name, entries[0].order
            )
            self.files.setdefault(name, []).extend(entries)
            self.outbox.spilled(entries, segment, 100 * len(self.files[name]))
            segment.complete = complete
        return [entry.head.batch.number for entry in entries]

    def load(self) -> None:
        while (segment := self.outbox.next_load()) is not None:
            entries = self.files[segment.path][segment.offset // 100 :]
            self.outbox.loaded(segment, entries, segment.size)

    def send(self, count: int = 1000) -> list[int]:
        """Send batches until none is left; returns their numbers."""
        numbers: list[int] = []
        while len(numbers) < count:
            self.load()
            entry, had = self.outbox.take()
            for each in had:
                self.outbox.acknowledged(each)
            if entry is None:
                break
            self.sent.append(entry)
            numbers.append(entry.head.batch.number)
        return numbers

    def acknowledge(self, count: int) -> None:
        for _ in range(count):
            self.outbox.acknowledged(self.sent.pop(0))

    def disconnect(self) -> None:
        self.outbox.put_back(self.sent)
        self.sent = []

    def resume(self, number: int, *, again: bool = False) -> list[int]:
        had = self.outbox.resume(Mark(0, number), [SPOOL], [], again=again)
        return [entry.head.batch.number for entry in had]


def test_batches_are_sent_in_order() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    assert rig.send() == [1, 2, 3]


def test_young_batches_stay_in_memory() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    assert rig.spill(before_s=2.5) == [1, 2]
    assert rig.spill(before_s=2.5) == []
    assert rig.send() == [1, 2, 3]


def test_disk_comes_before_memory() -> None:
    rig = Rig()
    rig.add(1, 2)
    rig.spill()
    rig.add(3)
    assert rig.outbox.peek_size() is None, "the disk has to be loaded first"
    assert rig.send() == [1, 2, 3]


def test_batches_in_flight_are_written_too_and_sent_once() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    assert rig.send(2) == [1, 2]
    assert rig.spill() == [1, 2, 3]
    assert rig.send() == [3]


def test_batches_in_flight_go_again_behind_the_hubs_last_message() -> None:
    rig = Rig()
    rig.add(1, 2, 3, 4)
    rig.send(3)
    rig.disconnect()
    assert rig.resume(1) == [1]
    assert rig.send() == [2, 3, 4]


def test_segments_whose_batches_are_acknowledged_are_not_needed() -> None:
    rig = Rig()
    rig.add(1, 2)
    rig.spill(complete=True)
    rig.send()
    rig.acknowledge(1)
    assert rig.outbox.finished() == []
    rig.acknowledge(1)
    assert [segment.path for segment in rig.outbox.finished()] == ["1"]
    assert rig.outbox.disk_bytes == 0


def test_batches_on_the_disk_that_the_hub_has_are_passed_over() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    rig.spill()
    rig.resume(2)
    assert rig.send() == [3]


def test_hub_that_lost_its_last_minutes_gets_them_again() -> None:
    rig = Rig(keep=10_000)
    rig.add(1, 2, 3, 4, 5)
    rig.send(4)
    rig.acknowledge(4)
    rig.resume(2, again=True)
    assert rig.send() == [3, 4, 5]


def test_hub_that_lost_everything_gets_all_that_is_kept() -> None:
    rig = Rig(keep=10_000)
    rig.add(1, 2, 3)
    rig.send(2)
    rig.acknowledge(2)
    assert rig.outbox.resume(None, [SPOOL], [], again=True) == []
    assert rig.send() == [1, 2, 3]


def test_acknowledged_batches_have_a_bound() -> None:
    rig = Rig(keep=2 * batch(1).size)
    rig.add(1, 2, 3, 4)
    rig.send()
    rig.acknowledge(4)
    rig.resume(0, again=True)
    assert rig.send() == [3, 4]


def test_full_spool_drops_the_oldest_and_counts_them() -> None:
    rig = Rig(limit=250)
    for number in (1, 3, 5):
        rig.add(number, number + 1)
        rig.spill(name=str(number), complete=True)
    assert [segment.path for segment in rig.outbox.surplus()] == ["1", "3"]
    assert rig.dropped == {"a": 40}
    assert rig.send() == [5, 6]


def test_batches_that_may_be_at_the_hub_are_not_dropped() -> None:
    rig = Rig(limit=250)
    rig.add(1, 2)
    rig.send(1)
    rig.spill(name="1", complete=True)
    rig.add(3, 4)
    rig.spill(name="3", complete=True)
    assert [segment.path for segment in rig.outbox.surplus()] == ["3"]
    rig.disconnect()
    rig.resume(0)
    assert rig.send() == [1, 2]


def test_disk_that_takes_nothing_costs_the_oldest_in_memory() -> None:
    rig = Rig()
    size = MEMORY_BYTES // 2
    for number in (1, 2, 3):
        rig.outbox.add(batch(number, size=size))
    assert rig.dropped == {"a": 20}
    assert rig.send() == [3]


def test_batches_that_a_slow_disk_is_writing_are_not_dropped_as_well() -> None:
    rig = Rig(limit=MUCH)
    size = MEMORY_BYTES // 10
    for number in range(1, 6):
        rig.outbox.add(batch(number, size=size))

    def meanwhile() -> None:
        for number in range(6, 18):
            rig.outbox.add(batch(number, size=size))

    assert rig.spill(meanwhile=meanwhile) == [1, 2, 3, 4, 5]
    assert rig.dropped == {"a": 30}, "ten have room beside those that are being written"
    assert rig.send() == [1, 2, 3, 4, 5, *range(9, 18)]


def test_segment_that_is_being_written_is_needed() -> None:
    """The disk would remove it behind the write, with the batches in it."""
    rig = Rig()
    rig.add(1, 2)
    rig.send()
    rig.spill()
    rig.add(3, 4)

    def meanwhile() -> None:
        rig.acknowledge(2)
        assert rig.outbox.finished() == []

    assert rig.spill(meanwhile=meanwhile) == [3, 4]
    assert rig.send() == [3, 4]
    rig.acknowledge(2)
    assert [segment.path for segment in rig.outbox.finished()] == ["1"]


def test_segment_that_is_dropped_while_it_is_loaded_is_not_sent_as_well() -> None:
    rig = Rig(limit=100)
    for number in (1, 2):
        rig.add(number)
        rig.spill(name=str(number), complete=True)
    segment = rig.outbox.next_load()
    assert segment
    assert rig.outbox.surplus() == [segment]
    rig.outbox.loaded(segment, rig.files["1"], segment.size)
    assert rig.send() == [2]
    assert rig.dropped == {"a": 10}


def test_without_a_spool_nothing_is_written() -> None:
    rig = Rig(limit=0)
    rig.add(1)
    assert rig.spill() == []


def test_what_cannot_be_read_is_counted() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    rig.spill()
    del rig.files["1"][1]
    assert rig.send() == [1, 3]
    assert rig.dropped == {"a": 10}
