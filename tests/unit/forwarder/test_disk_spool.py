"""Segment files: what is written is read again, also by the next start; full, torn and damaged disks."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from cancorderd.forwarder.disk_spool import DiskSpool, SpoolUnavailable
from cancorderd.forwarder.entry import Stored, record
from tests.unit.forwarder.batches import SPOOL, batch, left_on

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cancorderd.forwarder.outbox import Segment

LIMIT = 100_000_000


def write(disk: DiskSpool, *numbers: int) -> Segment:
    entries = [batch(number) for number in numbers]
    segment, size = disk.append(entries)
    for entry in entries:
        segment.add(entry)
    segment.size = size
    return segment


def numbers(disk: DiskSpool, segment: Segment) -> list[int]:
    found = []
    while segment.offset < segment.size:
        entries, end = disk.load(segment, segment.size)
        assert end > segment.offset
        segment.offset = end
        found += [entry.head.batch.number for entry in entries]
    return found


def reopened(folder: Path) -> tuple[DiskSpool, list[Segment], dict[str, int], int]:
    disk = DiskSpool(str(folder), LIMIT)
    return disk, *left_on(disk)


def test_batches_are_read_as_they_were_written(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path / "new"), LIMIT)
    segment = write(disk, 1, 2)
    assert write(disk, 3) is segment
    assert numbers(disk, segment) == [1, 2, 3]
    disk.close()


def test_next_start_finds_what_is_left(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    write(disk, 1, 2)
    disk.close()
    after, (segment,), frames, highest = reopened(tmp_path)
    assert (frames, highest) == ({"a": 20}, 2)
    assert after.stored == {(SPOOL, "a"): Stored(0, 20)}
    assert after.since == {"a": batch(1).created}
    assert write(after, 3).path != segment.path, "nothing is appended to an earlier start's file"
    assert numbers(after, segment) == [1, 2]
    after.close()


def test_segments_are_bounded(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), 8 * len(record(batch(1))))
    assert write(disk, 1) is not write(disk, 2)
    disk.close()


@pytest.mark.parametrize("cut", [1, 50, len(record(batch(2)))])
def test_torn_end_costs_the_last_batch(cut: int, tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    segment = write(disk, 1, 2)
    disk.close()
    os.truncate(segment.path, segment.size - cut)
    after, (segment,), frames, _ = reopened(tmp_path)
    assert frames == {"a": 10}
    assert numbers(after, segment) == [1]
    assert after.damaged == 0


def test_damaged_middle_costs_its_batch(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    segment = write(disk, 1, 2, 3)
    size = len(record(batch(1)))
    with open(segment.path, "r+b") as file:
        file.seek(size + 30)
        file.write(b"\xff\xff")
    assert numbers(disk, segment) == [1, 3]
    assert disk.damaged == size
    disk.close()


def test_large_segment_is_loaded_in_parts(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    entries = [batch(number, size=60_000) for number in range(1, 61)]
    segment, size = disk.append(entries)
    for entry in entries:
        segment.add(entry)
    segment.size = size
    first, _ = disk.load(segment, segment.size)
    assert 0 < len(first) < 60
    assert numbers(disk, segment) == list(range(1, 61))
    assert disk.damaged == 0
    disk.close()


def test_file_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    segment = write(disk, 1)
    os.unlink(segment.path)
    assert numbers(disk, segment) == []
    disk.close()


def test_file_without_any_batch_is_removed_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "000000000007.batches").write_bytes(b"garbage")
    (tmp_path / "something else").write_text("kept")
    disk, segments, _, _ = reopened(tmp_path)
    assert segments == []
    assert sorted(os.listdir(tmp_path)) == ["something else"]
    assert write(disk, 1).path.endswith("000000000008.batches")
    disk.close()


def test_full_disk_is_a_reason_and_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    segment = write(disk, 1)

    def half(descriptor: int, data: memoryview) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: len(data) - 40])

    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(SpoolUnavailable, match=r"is full\. Make room there, or lower forward\.spool_mb"):
            disk.append([batch(2)])
    assert os.path.getsize(segment.path) == segment.size
    second = write(disk, 2)
    assert second is not segment
    assert (numbers(disk, segment), numbers(disk, second)) == ([1], [2])
    disk.close()


def test_folder_that_cannot_be_made_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnavailable, match="the spool cannot be written"):
        DiskSpool(str(tmp_path / "file/spool"), LIMIT).append([batch(1)])


def test_power_cut_takes_no_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[list[str]] = []

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            folders.append(sorted(os.listdir(descriptor)))

    monkeypatch.setattr(os, "fsync", sync)
    disk = DiskSpool(str(tmp_path), LIMIT)
    disk.spool_ids("a" * 16)
    segment = os.path.basename(write(disk, 1).path)
    write(disk, 2)
    disk.close()
    assert folders == [["spool-ids"], [segment, "spool-ids"]]


def test_spool_ids_are_remembered_in_order(tmp_path: Path) -> None:
    assert DiskSpool(str(tmp_path), LIMIT).spool_ids("a" * 16) == ["a" * 16]
    assert DiskSpool(str(tmp_path), LIMIT).spool_ids("b" * 16) == ["a" * 16, "b" * 16]


def test_removed_segments_are_gone(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    first = write(disk, 1)
    disk.remove([first])
    assert not os.path.exists(first.path)
    assert write(disk, 2) is not first
    disk.close()


@pytest.mark.parametrize("damage", [b"\xff\xfe\n", b"aaaaaaa", b"\0" * 100, b"x" * 16])
def test_damaged_spool_ids_are_forgotten(tmp_path: Path, damage: bytes) -> None:
    good = ("c" * 16 + "\n").encode()
    (tmp_path / "spool-ids").write_bytes(good + damage)
    known = DiskSpool(str(tmp_path), LIMIT).spool_ids("b" * 16)
    assert known == ["c" * 16, "b" * 16]
    assert DiskSpool(str(tmp_path), LIMIT).spool_ids("b" * 16)[0] == "c" * 16


def test_spool_ids_of_batches_on_the_disk_are_known_in_any_case(tmp_path: Path) -> None:
    """Without this, batches whose id is unknown would pass for had already."""
    disk = DiskSpool(str(tmp_path), LIMIT)
    write(disk, 1)
    disk.close()
    after, _, _, _ = reopened(tmp_path)
    assert after.spool_ids("b" * 16) == [SPOOL, "b" * 16]


@pytest.mark.parametrize("lost", [[], [0], [20], [299], range(300)])
def test_spool_ids_stay_in_order_over_hundreds_of_starts_in_one_outage(
    tmp_path: Path, lost: Sequence[int]
) -> None:
    """Batches of an id that is placed too early would pass for had already. The file may have lost some of them."""
    names = [f"{start:016x}" for start in range(300)]
    disk = DiskSpool(str(tmp_path), LIMIT)
    for order, name in enumerate(names, 1):
        disk.append([batch(1, spool=name, order=order)])
    disk.close()
    (tmp_path / "spool-ids").write_text(
        "".join(f"{name}\n" for at, name in enumerate(names) if at not in lost)
    )
    for own in ("a" * 16, "b" * 16):
        names.append(own)
        assert reopened(tmp_path)[0].spool_ids(own) == names


def test_spool_ids_that_nothing_is_left_of_are_forgotten_at_last(tmp_path: Path) -> None:
    (tmp_path / "spool-ids").write_text("".join(f"{start:016x}\n" for start in range(1000)))
    assert DiskSpool(str(tmp_path), LIMIT).spool_ids("a" * 16)[0] == f"{1000 - 256:016x}"


def test_frames_of_segments_that_were_dropped_are_remembered(tmp_path: Path) -> None:
    """The next start counts them as lost, if the hub has nothing of them."""
    disk = DiskSpool(str(tmp_path), LIMIT)
    first, second = write(disk, 3), batch(1, spool="e" * 16, bus="b", order=9)
    disk.append([second])
    disk.close()
    disk, segments, _, _ = reopened(tmp_path)
    assert disk.spool_ids("a" * 16) == [SPOOL, "e" * 16, "a" * 16]
    assert disk.stored == {(SPOOL, "a"): Stored(20, 30), ("e" * 16, "b"): Stored(0, 10)}
    disk.remove([*segments, first])
    for own in ("b" * 16, "c" * 16):
        disk = reopened(tmp_path)[0]
        assert disk.spool_ids(own)[:3] == [SPOOL, "e" * 16, "a" * 16]
        assert disk.stored == {(SPOOL, "a"): Stored(30, 30), ("e" * 16, "b"): Stored(10, 10)}


def test_folder_is_locked_until_its_forwarder_has_closed_it(tmp_path: Path) -> None:
    first, second = DiskSpool(str(tmp_path / "new"), LIMIT), DiskSpool(str(tmp_path / "new"), LIMIT)
    assert first.lock()
    assert first.lock()
    assert not second.lock()
    first.close()
    assert second.lock()
    second.close()


def test_folder_that_cannot_be_made_is_used_without_a_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert DiskSpool(str(tmp_path / "file/folder"), LIMIT).lock()


def test_segment_that_cannot_be_opened_stays_and_is_named(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path), LIMIT)
    write(disk, 1)
    disk.close()
    (tmp_path / "000000000002.batches").symlink_to(tmp_path / "000000000002.batches")  # ELOOP, also for root
    after, (segment,), _, _ = reopened(tmp_path)
    assert numbers(after, segment) == [1]
    fact = f"cannot be read ({os.strerror(errno.ELOOP)}): its frames are missing at the hub"
    assert after.unreadable == [f"{tmp_path}/000000000002.batches: {fact}. Check its owner and the disk."]
    assert (tmp_path / "000000000002.batches").is_symlink()
    assert write(after, 2).path.endswith("000000000003.batches")
    after.close()


def test_spools_of_other_names_are_found_if_they_hold_frames(tmp_path: Path) -> None:
    disk = DiskSpool(str(tmp_path / "truck-17"), LIMIT)
    assert disk.left_behind() == []
    (segment,) = [write(disk, 1)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    after = DiskSpool(str(tmp_path / "truck-18"), LIMIT)
    assert after.left_behind() == [(str(tmp_path / "truck-17"), segment.size)]
    assert disk.left_behind() == []
    assert DiskSpool(str(tmp_path / "nowhere/truck-18"), LIMIT).left_behind() == []
    disk.close()


def test_file_that_no_forwarder_has_written_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "1.batches").open("wb") as file:
        file.truncate(1 << 40)
    after, segments, _, _ = reopened(tmp_path)
    assert segments == []
    assert "1.batches: cannot be read (File too large)" in after.unreadable[0]
    assert (tmp_path / "1.batches").exists()


def test_segment_without_a_record_is_removed_and_named_unless_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "1.batches").write_bytes(b"")
    (tmp_path / "2.batches").write_bytes(b"CcB1" * 1000)
    after, segments, _, _ = reopened(tmp_path)
    assert segments == []
    assert [sentence.partition(": ")[0] for sentence in after.unreadable] == [str(tmp_path / "2.batches")]
    assert list(tmp_path.glob("*.batches")) == []


def test_file_with_another_name_is_none_of_ours(tmp_path: Path) -> None:
    names = ["²³.batches", "notes.batches", "1.txt"]
    for name in names:
        (tmp_path / name).touch()
    assert reopened(tmp_path)[1] == []
    assert sorted(each.name for each in tmp_path.iterdir() if each.name in names) == sorted(names)
