"""The decisions of the recorder; its processes, disks and signals are in tests/e2e/recording."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.config.record_settings import RecordSettings
from cancorderd.ipc.messages import Notice
from cancorderd.recorder.log_file import LogFile
from cancorderd.recorder.recorder import Recorder, can_begin, can_go_on, disk_reserve
from tests.support.recorded_files import recorded
from tests.support.recorded_frames import numbered_frames

if TYPE_CHECKING:
    from pathlib import Path


def test_reserve_is_a_share_of_a_small_disk_and_constant_on_a_large_one() -> None:
    assert disk_reserve(10_000_000) == 200_000
    assert disk_reserve(1_000_000_000_000) == 100_000_000


@pytest.mark.parametrize("total", [10_000_000, 1_000_000_000_000])
def test_recording_stops_at_the_reserve_and_begins_again_at_twice_the_reserve(total: int) -> None:
    reserve = disk_reserve(total)
    assert can_go_on(total, reserve, 0)
    assert not can_go_on(total, reserve - 1, 0)
    assert not can_go_on(total, reserve + 5, 6), "an mf4 needs its size once more to be closed"
    assert not can_begin(total, 2 * reserve - 1)
    assert can_begin(total, 2 * reserve)


def test_recording_stops_without_a_folder_and_goes_on_after_the_delay(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.write_text("a file")
    notices: list[Notice] = []
    recorder = Recorder("body", RecordSettings(directory=str(folder)), "body", notices.append)
    assert recorder.report().reason == f"{folder} is not a folder. Choose another directory."
    recorder.record(numbered_frames(0, 5))
    folder.unlink()
    recorder.tick(time.monotonic())
    assert recorder.report().state == "stopped", "too early to check again"
    recorder.tick(time.monotonic() + 5)
    recorder.record(numbered_frames(5, 5))
    recorder.close()
    report = recorder.report()
    assert (report.state, report.frames, report.dropped) == ("recording", 5, 5)
    assert recorded(folder) == numbered_frames(5, 5)
    assert [notice.level for notice in notices] == ["error", "info", "info"]


def test_file_that_has_reached_its_size_is_followed_by_another(tmp_path: Path) -> None:
    recorder = Recorder(
        "body", RecordSettings(directory=str(tmp_path), rotate_mb=1, keep=2), "body", lambda _notice: None
    )
    recorder.record(numbered_frames(0, 50_000))
    recorder.close()
    kept = recorded(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert kept == numbered_frames(50_000 - len(kept), len(kept))


def test_unforeseen_error_keeps_the_frames_on_the_disk(tmp_path: Path) -> None:
    recorder = Recorder("body", RecordSettings(directory=str(tmp_path)), "body", lambda _notice: None)
    recorder.record(numbered_frames(0, 10))
    recorder.tick(time.monotonic())
    recorder.record(numbered_frames(10, 10))
    recorder.abandon()
    assert recorded(tmp_path) == numbered_frames(0, 10)
    report = recorder.report()
    assert (report.state, report.frames, report.dropped) == ("stopped", 10, 10)


def sized(path: Path, size: int) -> Path:
    path.write_bytes(bytes(size))
    return path


def test_oldest_files_are_removed_while_the_current_one_grows(tmp_path: Path) -> None:
    old = [sized(tmp_path / f"body-00000{number}-20260101T000000Z.log", 450_000) for number in (1, 2)]
    recorder = Recorder(
        "body", RecordSettings(directory=str(tmp_path), max_mb=1), "body", lambda _notice: None
    )
    recorder.record(numbered_frames(0, 100))
    assert all(path.exists() for path in old), "there is room for both"
    recorder.record(numbered_frames(100, 5000))
    assert [path.exists() for path in old] == [False, True]
    recorder.close()
    assert (tmp_path / recorder.report().file).name.startswith("body-000003-")


def test_numbers_go_on_after_the_highest_even_if_its_file_is_gone(tmp_path: Path) -> None:
    recorder = Recorder(
        "body", RecordSettings(directory=str(tmp_path), rotate_mb=1), "body", lambda _notice: None
    )
    recorder.record(numbered_frames(0, 100))
    for path in tmp_path.iterdir():
        path.unlink()
    recorder.tick(time.monotonic())
    recorder.record(numbered_frames(100, 100))
    recorder.close()
    assert "body-000002-" in recorder.report().file


def test_old_file_that_cannot_be_removed_is_reported_once_and_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = sized(tmp_path / "body-000001-20260101T000000Z.log", 5_000_000)

    def unlink(path: str) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("cancorderd.recorder.recorder.os.unlink", unlink)
    notices: list[Notice] = []
    recorder = Recorder("body", RecordSettings(directory=str(tmp_path), max_mb=1), "body", notices.append)
    recorder.record(numbered_frames(0, 10_000))
    recorder.close()
    report = recorder.report()
    assert (report.state, report.frames, report.dropped) == ("recording", 10_000, 0)
    warnings = [notice.text for notice in notices if notice.level == "warning"]
    assert warnings == [f"{old} cannot be removed (Operation not permitted), and does not count for max_mb"]


def test_empty_file_without_a_writer_is_removed_at_the_start(tmp_path: Path) -> None:
    abandoned = sized(tmp_path / "body-000001-20260101T000000Z.blf", 0)
    foreign = sized(tmp_path / "other-000001-20260101T000000Z.blf", 0)
    written = LogFile(str(tmp_path / "body-000002-20260101T000000Z.mf4"), "mf4", "body")
    Recorder("body", RecordSettings(directory=str(tmp_path)), "body", lambda _notice: None)
    assert not abandoned.exists()
    assert foreign.exists()
    assert os.path.exists(written.path), "another recorder still writes it"
    written.give_up()


@pytest.mark.parametrize("file_format", ["log", "asc"])
def test_line_that_a_power_cut_has_torn_is_removed(tmp_path: Path, file_format: str) -> None:
    settings = RecordSettings(directory=str(tmp_path), format=file_format)  # type: ignore[arg-type]
    recorder = Recorder("body", settings, "body", lambda _notice: None)
    recorder.record(numbered_frames(0, 100))
    recorder.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(whole) - 2, len(whole) - 2 * len(lines[-1]) - 40, -7):
        file.write_bytes(whole[:cut] + bytes(3))  # a file system may append zeros
        notices: list[Notice] = []
        Recorder("body", settings, "body", notices.append)
        kept = file.read_bytes()
        assert kept == whole[:cut][: whole[:cut].rfind(b"\n") + 1]
        assert [notice.level for notice in notices] == ["warning"]
    Recorder("body", settings, "body", notices.append)
    assert len(notices) == 1, "a whole file is left alone"


def test_file_of_a_living_recorder_is_not_mended(tmp_path: Path) -> None:
    settings = RecordSettings(directory=str(tmp_path))
    recorder = Recorder("body", settings, "body", lambda _notice: None)
    recorder.record(numbered_frames(0, 64))
    (file,) = tmp_path.iterdir()
    with file.open("ab") as other:
        other.write(b"(1.0) a 12")
    size = file.stat().st_size
    Recorder("body", settings, "body", lambda _notice: None)
    assert file.stat().st_size == size
    recorder.close()
