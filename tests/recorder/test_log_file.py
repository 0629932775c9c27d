"""One file of a recording: what python-can reads back is what was recorded, also after a crash."""

from __future__ import annotations

import itertools
import os
import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from cancorderd.frame import Frame
from cancorderd.recorder.log_file import LogFile
from tests.recorder.frames import frames
from tests.recorder.reading import frames_in

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ["log", "asc", "blf"]
START_US = 1_795_365_990_005_321
counter = itertools.count()


def numbered(first: int, count: int) -> list[Frame]:
    return [Frame(START_US + n * 100, 0x123, 0, n.to_bytes(8)) for n in range(first, first + count)]


def new_file(folder: Path, kind: str, channel: str = "body") -> tuple[Path, LogFile]:
    path = folder / f"{next(counter)}.{kind}"
    return path, LogFile(str(path), kind, channel)


@pytest.mark.parametrize("kind", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sent=frames())
def test_what_was_recorded_is_read_back_to_the_microsecond(
    kind: str, sent: list[Frame], tmp_path: Path
) -> None:
    path, file = new_file(tmp_path, kind)
    for at, frame in enumerate(sent):
        file.write(frame)
        if at % 7 == 3:
            file.checkpoint()
    size = file.close()
    assert frames_in(path) == sent
    assert size == path.stat().st_size


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_made_safe_outlives_a_crash(kind: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, kind)
    for turn in range(3):
        for frame in numbered(1000 * turn, 1000):
            file.write(frame)
        file.checkpoint()
    # The process dies here: what is in its buffers is gone, so the file is as it lies on the disk now.
    assert frames_in(path) == numbered(0, 3000)
    file.give_up()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("room", [3000, 100_001, 333_333])
def test_a_disk_that_is_full_amid_a_write_leaves_a_whole_file(kind: str, room: int, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, kind)
    sent = numbered(0, 100_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError):
            for at, frame in enumerate(sent):
                file.write(frame)
                if at % 9000 == 8999:
                    file.checkpoint()
        file.give_up()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if not file.safe_frames:
        assert not path.exists()
        return
    assert path.stat().st_size <= room
    assert frames_in(path) == sent[: file.safe_frames]
    if kind != "blf":  # which is whole once a second
        assert file.frames - file.safe_frames < 64 + 8192 // 30, "the last few are gone, and no more"


@pytest.mark.parametrize("kind", FORMATS)
def test_giving_up_leaves_what_was_safe_and_no_half_frame(kind: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, kind)
    for frame in numbered(0, 500):
        file.write(frame)
    file.checkpoint()
    for frame in numbered(500, 5000):
        file.write(frame)
    assert file.frames == 5500
    assert 500 <= file.safe_frames <= 5500
    file.give_up()
    assert frames_in(path) == numbered(0, file.safe_frames)


@pytest.mark.parametrize("kind", FORMATS)
def test_giving_up_a_file_with_nothing_safe_removes_it(kind: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, kind)
    file.write(numbered(0, 1)[0])
    file.give_up()
    assert not path.exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_is_known_while_it_is_written(kind: str, tmp_path: Path) -> None:
    _, file = new_file(tmp_path, kind)
    sizes = []
    for frame in numbered(0, 20_000):
        file.write(frame)
        if frame.data[-1] == 0:
            sizes.append(file.size)
    assert sizes[-1] > sizes[0]
    end = sizes[-1]
    assert abs(file.close() - end) < 150_000, "a container of blf, or a buffer of text"


def test_no_file_is_ever_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        LogFile(str(path), "log", "body")
    assert path.read_text() == "precious"


def test_a_frame_far_before_the_last_one_needs_another_file(tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "asc")
    assert not file.foreign(0)
    first = numbered(5, 1)[0]
    file.write(first)
    assert not file.foreign(first.timestamp_us - 1_000_000)
    assert file.foreign(first.timestamp_us - 1_000_001)
    file.write(first._replace(timestamp_us=first.timestamp_us - 10))
    file.close()
    assert [frame.timestamp_us for frame in frames_in(path)] == [first.timestamp_us] * 2


def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "log")
    assert not file.removed()
    path.unlink()
    assert file.removed()
    file.close()


@pytest.mark.parametrize(
    ("kind", "channel", "shown"),
    [
        ("log", "can0", " can0 "),
        ("log", "body", " body "),
        ("asc", "can1", " 2  "),
        ("asc", "body", " 1  "),
        ("asc", "bench20261122", " 1  "),
    ],
)
def test_the_log_names_the_channel(kind: str, channel: str, shown: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, kind, channel)
    file.write(numbered(0, 1)[0])
    file.close()
    assert shown in path.read_text()


@pytest.mark.parametrize("channel", ["body", "can3", "bench20261122"])
def test_blf_takes_any_channel(channel: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "blf", channel)
    file.write(numbered(0, 1)[0])
    file.close()
    assert frames_in(path) == numbered(0, 1)


def test_others_may_not_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path, file = new_file(tmp_path, "log")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    file.give_up()
