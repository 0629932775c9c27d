"""Recording as ASAM MDF. Apart from the other tests, since asammdf brings 200 MB: `tests/run mf4`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

from cancorderd.frame import Frame
from cancorderd.recorder.log_file import LogFile, require
from tests.harness import poll
from tests.recorder.frames import frames
from tests.recorder.reading import frames_in, recorded
from tests.recorder.test_log_file import new_file, numbered
from tests.recorder.test_process import Process

if TYPE_CHECKING:
    from pathlib import Path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(sent=frames())
def test_what_was_recorded_is_read_back_to_the_microsecond(sent: list[Frame], tmp_path: Path) -> None:
    require("mf4")
    path, file = new_file(tmp_path, "mf4", "bench20261122")
    for frame in sent:
        file.write(frame)
        file.checkpoint()
    file.close()
    assert frames_in(path) == sent


def test_the_room_that_closing_takes_is_known_before(tmp_path: Path) -> None:
    path, file = new_file(tmp_path, "mf4")
    for frame in numbered(0, 2000):
        file.write(frame)
    assert file.owed == file.size == 2000 * 84
    scratch = [one for one in tmp_path.iterdir() if one != path]
    assert len(scratch) == 1, "what is gathered lies on the same disk"
    size = file.close()
    assert size == path.stat().st_size < 2000 * 84
    assert list(tmp_path.iterdir()) == [path]


def test_giving_up_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mf4"
    file = LogFile(str(path), "mf4", "body")
    file.write(numbered(0, 1)[0])
    file.give_up()
    assert not path.exists()


def test_files_follow_each_other_and_the_last_is_whole_when_the_worker_dies(tmp_path: Path) -> None:
    with Process(tmp_path, "mf4", rotate_mb=1) as recorder:
        recorder.send(numbered(0, 30_000))
        poll(lambda: recorder.told and recorder.told[-1].frames == 30_000, 60, "all are written")
        recorder.socket.close()  # as a worker's end that is killed
        recorder.process.wait(60)
    assert len(list(tmp_path.iterdir())) == 3
    assert recorded(tmp_path) == numbered(0, 30_000)
