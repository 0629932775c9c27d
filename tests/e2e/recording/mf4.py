"""Recording as ASAM MDF: `tests/run mf4`. Separate from the other tests, since asammdf needs 200 MB."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

from cancorderd.protocol.frame import Frame
from cancorderd.recorder.log_file import LogFile, require
from tests.e2e.recording.test_process import Process
from tests.support.harness import poll
from tests.support.recorded_files import frames_in, recorded
from tests.support.recorded_frames import frames, numbered_frames

if TYPE_CHECKING:
    from pathlib import Path

counter = itertools.count()


def new_file(folder: Path, channel: str = "body") -> tuple[Path, LogFile]:
    path = folder / f"{next(counter)}.mf4"
    return path, LogFile(str(path), "mf4", channel)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(sent=frames())
def test_frames_are_read_back_to_the_microsecond(sent: list[Frame], tmp_path: Path) -> None:
    require("mf4")
    path, file = new_file(tmp_path, "bench20261122")
    for frame in sent:
        file.write(frame)
        file.checkpoint()
    file.close()
    assert frames_in(path) == sent


def test_space_needed_to_close_the_file_is_known_before(tmp_path: Path) -> None:
    path, file = new_file(tmp_path)
    for frame in numbered_frames(0, 2000):
        file.write(frame)
    assert file.closing_bytes == file.size == 2000 * 84
    scratch = set(tmp_path.iterdir()) - {path}
    assert len(scratch) == 1, "the scratch file is on the same disk"
    size = file.close()
    assert size == path.stat().st_size < 2000 * 84
    assert list(tmp_path.iterdir()) == [path]


def test_give_up_removes_the_file(tmp_path: Path) -> None:
    path, file = new_file(tmp_path)
    file.write(numbered_frames(0, 1)[0])
    file.give_up()
    assert not path.exists()


def test_last_of_several_files_is_whole_if_the_worker_dies(tmp_path: Path) -> None:
    with Process(tmp_path, "mf4", rotate_mb=1) as recorder:
        recorder.send(numbered_frames(0, 30_000))
        poll(lambda: recorder.reports and recorder.reports[-1].frames == 30_000, 60, "all frames are written")
        recorder.socket.close()  # as if the worker were killed
        recorder.process.wait(60)
    assert len(list(tmp_path.iterdir())) == 3
    assert recorded(tmp_path) == numbered_frames(0, 30_000)
