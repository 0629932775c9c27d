"""The files of a recording that stay, by their size and number, whatever the clock and the plug do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.harness import Client, Daemon, poll
from tests.support.recorded_files import frames_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FLOOD = '[bus.m]\ninterface = "mock"\nstart = "always"\nrate = {rate}\nrecord = {{ {record} }}\n'


def flood(folder: Path, record: str, rate: int = 1000) -> str:
    """Return a bus that records numbered frames in `folder`, with or without a viewer."""
    return FLOOD.format(rate=rate, record=f'directory = "{folder}", {record}')


def recording(daemon: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.bus("m")["recording"]
    return found


def wait_file(daemon: Daemon, *, after: str | None = None) -> str:
    """Wait until the recording has a file, another than `after`; return its path."""
    found: str = poll(lambda: (file := recording(daemon)["file"]) != after and file, what="another file")
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sized(path: Path, size: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "r"
    Client.close_all()


def test_starts_of_a_bus_remove_nothing_while_there_is_room(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    full = [sized(folder / f"m-20260101T00000{number}Z.log", 800_000) for number in range(3)]
    running = daemon(flood(folder, "rotate_mb = 1, keep = 3"))
    file = wait_file(running)
    for _ in range(3):
        assert running.ctl("restart", "m").returncode == 0
        file = wait_file(running, after=file)
    running.stop()
    assert all(path.exists() for path in full), "small files replaced full ones"
    new = sorted(set(folder.iterdir()) - set(full))
    assert [path.name[:9] for path in new] == [f"m-{number:06d}-"[:9] for number in range(1, 5)]
    assert all(map(frames_in, new)), "each start begins a file, and none is empty"


def test_all_files_together_stay_within_the_limit(daemon: Callable[[str], Daemon], folder: Path) -> None:
    running = daemon(flood(folder, "rotate_mb = 1, max_mb = 3", rate=20_000))
    largest = 0

    def sixth_file() -> bool:
        nonlocal largest
        largest = max(largest, sum(entry.stat().st_size for entry in os.scandir(folder)))
        return any(name.startswith("m-000006-") for name in names(folder))

    poll(folder.exists, what="the folder")
    poll(lambda: _unless_removed(sixth_file), 120, what="six files")
    running.stop()
    assert 2_000_000 < largest <= 3_020_000  # the text of 64 frames and the buffer may come on top
    kept = names(folder)
    assert 3 <= len(kept) <= 4, kept
    numbers = [int(name.split("-")[1]) for name in kept]
    assert numbers == list(range(numbers[0], numbers[0] + len(kept)))


def _unless_removed(condition: Callable[[], bool]) -> bool:
    """Return the condition; False if a file disappeared meanwhile."""
    try:
        return condition()
    except FileNotFoundError:
        return False


def test_running_numbers_are_the_order_although_the_clock_was_ahead(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    ahead = sized(folder / "m-000041-20991231T000000Z.blf", 900_000)
    without = sized(folder / "m-20991231T000001Z-2.log", 900_000)
    other = sized(folder / "m-b-000001-20200101T000000Z.log", 9_000_000)
    running = daemon(flood(folder, "rotate_mb = 1, max_mb = 1", rate=2000))
    new = wait_file(running)
    assert new.startswith(f"{folder}/m-000042-20")
    poll(lambda: not ahead.exists(), what="the older file is removed")
    running.stop()
    assert os.path.exists(new)
    assert other.exists()
    log = running.log.read_text()
    assert 0 < log.index(f"removed {without}") < log.index(f"removed {ahead}"), "without a number: older"


def test_newest_file_stays_even_if_it_is_beyond_the_limit(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    large = [sized(folder / f"m-00000{number}-20260101T000000Z.log", 5_000_000) for number in (1, 2)]
    running = daemon('[bus.m]\ninterface = "mock"\n' + f'record = {{ directory = "{folder}", max_mb = 1 }}\n')
    running.wait_state("m", "running")
    poll(lambda: not large[0].exists(), what="the older file is removed before the first frame")
    assert large[1].exists()
    running.stop()


def test_limit_of_zero_keeps_all(daemon: Callable[[str], Daemon], folder: Path) -> None:
    old = sized(folder / "m-000001-20260101T000000Z.log", 5_000_000)
    running = daemon(flood(folder, "max_mb = 0, rotate_mb = 1"))
    wait_file(running)
    running.stop()
    assert old.exists()


@pytest.mark.parametrize("file_format", ["log", "blf"])
def test_empty_file_of_a_killed_recorder_is_removed_but_not_one_that_is_being_written(
    file_format: str, daemon: Callable[[str], Daemon], folder: Path
) -> None:
    running = daemon(flood(folder, f'format = "{file_format}"', rate=10))
    worker = running.wait_state("m", "running")["pid"]

    def killed_before_the_first_frame_was_safe() -> Path | None:
        recorders = psutil.Process(worker).children()
        for path in folder.iterdir() if folder.exists() and recorders else ():
            if path.stat().st_size == 0:
                recorders[0].kill()
                recorders[0].wait()
                return path if path.stat().st_size == 0 else None
        return None

    empty = poll(killed_before_the_first_frame_was_safe, what="an empty file")
    assert empty
    poll(lambda: not empty.exists(), what="the next recorder removes it")
    running.stop()
    assert all(map(frames_in, folder.iterdir()))


def test_recordings_follow_the_state_folder(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    running = daemon(FLOOD.format(rate=100, record=""))
    assert wait_file(running).startswith(f"{tmp_path}/state/recordings/m-000001-")


def test_file_that_cannot_be_removed_does_not_stop_the_recording(
    daemon: Callable[[str], Daemon], folder: Path
) -> None:
    stuck = folder / "m-000001-20260101T000000Z.log"
    stuck.mkdir(parents=True)  # no file at all
    running = daemon(flood(folder, "rotate_mb = 1, max_mb = 1"))
    assert wait_file(running).startswith(f"{folder}/m-000002-")
    assert recording(running)["reason"] == ""
    assert stuck.exists()


def test_stopped_recording_is_not_all_well(daemon: Callable[[str], Daemon], folder: Path) -> None:
    folder.write_text("a file in place of the folder")
    running = daemon(flood(folder, 'format = "log"'))
    running.wait_state("m", "running")
    poll(lambda: recording(running)["state"] == "stopped", what="the recording is stopped")
    answer = running.ctl("status")
    assert answer.returncode == 3
    assert "1 of 1 buses running, 1 recording stopped" in answer.stdout
    assert running.ctl("status", "--json").returncode == 3
    folder.unlink()
    poll(lambda: running.ctl("status").returncode == 0, what="recording goes on")
    assert "recording stopped" not in running.ctl("status").stdout
    running.ctl("stop", "m")
    assert running.ctl("status").returncode == 0, "a bus that is stopped should not be recorded"
