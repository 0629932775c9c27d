"""One file of a recording: python-can reads back the frames that were recorded, even after a crash."""

from __future__ import annotations

import itertools
import os
import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from cancorderd.protocol.frame import Frame
from cancorderd.recorder.log_file import LogFile
from tests.support.recorded_files import frames_in
from tests.support.recorded_frames import frames, numbered_frames

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ["log", "asc", "blf"]
counter = itertools.count()


def new_file(folder: Path, file_format: str, channel: str = "body") -> tuple[Path, LogFile]:
    path = folder / f"{next(counter)}.{file_format}"
    return path, LogFile(str(path), file_format, channel)


@pytest.mark.parametrize("file_format", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sent=frames())
def test_frames_are_read_back_to_the_microsecond(file_format: str, sent: list[Frame], tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format)
    for index, frame in enumerate(sent):
        file.write(frame)
        if index % 7 == 3:
            file.checkpoint()
    size = file.close()
    assert frames_in(path) == sent
    assert size == path.stat().st_size


@pytest.mark.parametrize("file_format", FORMATS)
def test_frames_before_a_checkpoint_survive_a_crash(file_format: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format)
    for turn in range(3):
        for frame in numbered_frames(1000 * turn, 1000):
            file.write(frame)
        file.checkpoint()
    # If the process died here, its buffers would be lost, and this would be the file on the disk.
    assert frames_in(path) == numbered_frames(0, 3000)
    file.give_up()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("room", [3000, 100_001, 333_333])
def test_disk_that_becomes_full_within_a_write_leaves_a_whole_file(
    file_format: str, room: int, tmp_path: Path
) -> None:
    path, file = new_file(tmp_path, file_format)
    sent = numbered_frames(0, 100_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError):
            for index, frame in enumerate(sent):
                file.write(frame)
                if index % 9000 == 8999:
                    file.checkpoint()
        file.give_up()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if not file.safe_frames:
        assert not path.exists()
        return
    assert path.stat().st_size <= room
    assert frames_in(path) == sent[: file.safe_frames]
    if file_format != "blf":  # whose containers are whole once a second
        assert file.frames - file.safe_frames < 64 + 8192 // 30, "only the last few are lost"


@pytest.mark.parametrize("file_format", ["log", "asc"])
def test_lines_are_flushed_without_a_checkpoint(file_format: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format)
    for frame in numbered_frames(0, 70):
        file.write(frame)
    assert file.safe_frames == 64
    assert frames_in(path)[:64] == numbered_frames(0, 64)
    file.give_up()


@pytest.mark.parametrize("file_format", FORMATS)
def test_give_up_keeps_the_safe_frames_and_no_part_of_a_frame(file_format: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format)
    for frame in numbered_frames(0, 500):
        file.write(frame)
    file.checkpoint()
    for frame in numbered_frames(500, 5000):
        file.write(frame)
    assert file.frames == 5500
    assert 500 <= file.safe_frames <= 5500
    file.give_up()
    assert frames_in(path) == numbered_frames(0, file.safe_frames)


@pytest.mark.parametrize("file_format", FORMATS)
def test_give_up_removes_a_file_without_safe_frames(file_format: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format)
    file.write(numbered_frames(0, 1)[0])
    file.give_up()
    assert not path.exists()


@pytest.mark.parametrize("file_format", FORMATS)
def test_size_grows_while_the_file_is_written(file_format: str, tmp_path: Path) -> None:
    _, file = new_file(tmp_path, file_format)
    sizes = []
    for frame in numbered_frames(0, 20_000):
        file.write(frame)
        if frame.data[-1] == 0:
            sizes.append(file.size)
    assert sizes[-1] > sizes[0]
    assert abs(file.close() - sizes[-1]) < 150_000, "a container of blf, or a buffer of text"


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        LogFile(str(path), "log", "body")
    assert path.read_text() == "precious"


def test_frame_from_before_a_step_of_the_clock_is_too_early(tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "asc")
    assert not file.too_early(0)
    first = numbered_frames(5, 1)[0]
    file.write(first)
    assert not file.too_early(first.timestamp_us - 100_000)
    assert file.too_early(first.timestamp_us - 100_001)
    file.write(first._replace(timestamp_us=first.timestamp_us - 10))
    file.close()
    assert [frame.timestamp_us for frame in frames_in(path)] == [first.timestamp_us] * 2


def test_removed_file_is_noticed(tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "log")
    assert not file.removed()
    path.unlink()
    assert file.removed()
    file.close()


@pytest.mark.parametrize(
    ("file_format", "channel", "shown"),
    [
        ("log", "can0", " can0 "),
        ("log", "body", " body "),
        ("log", "powertrain_left_front", " powertrain_left "),
        ("log", "7", " can7 "),
        ("asc", "can1", " 2  "),
        ("asc", "body", " 1  "),
        ("asc", "bench20261122", " 1  "),
    ],
)
def test_log_names_the_channel(file_format: str, channel: str, shown: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, file_format, channel)
    file.write(numbered_frames(0, 1)[0])
    file.close()
    assert shown in path.read_text()


@pytest.mark.parametrize("channel", ["body", "can3", "bench20261122"])
def test_blf_accepts_any_channel(channel: str, tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "blf", channel)
    file.write(numbered_frames(0, 1)[0])
    file.close()
    assert frames_in(path) == numbered_frames(0, 1)


def test_other_users_may_not_read_a_recording(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path, file = new_file(tmp_path, "log")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    file.give_up()
