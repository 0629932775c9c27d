from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.errors import AdapterAbsent, SettingsRefused
from cancorderd.sources import open_source
from cancorderd.sources.replay import Pace
from tests.sources.reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_pace_keeps_the_distances_of_the_log() -> None:
    pace = Pace(2.0, 100.0)
    assert [pace.due_s(stamp) for stamp in (50.0, 51.0, 50.5, 54.0)] == [100.0, 100.5, 100.25, 102.0]


def test_pace_never_starts_before_its_start() -> None:
    pace = Pace(1.0, 100.0)
    pace.due_s(50.0)
    assert pace.due_s(40.0) == 100.0


@pytest.fixture(params=["log", "asc", "blf", "trc"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Ten frames, 20 ms apart, in a format that python-can writes."""
    path = tmp_path / f"drive.{request.param}"
    with can.Logger(path) as writer:
        for number in range(10):
            writer(
                can.Message(
                    timestamp=1000 + number / 50,
                    arbitration_id=number,
                    is_extended_id=False,
                    data=[number],
                    channel=1,
                )
            )
    return path


def test_log_is_played_at_its_own_pace(section: Callable[..., Any], log: Path) -> None:
    source = open_source(section("replay", file=str(log)))
    frames = frames_of(source, 10)
    assert [frame.arbitration_id for frame in frames] == list(range(10))
    assert (frames[-1].timestamp_us - frames[0].timestamp_us) / 1e6 == pytest.approx(0.18, abs=0.01)
    assert abs(frames[-1].timestamp_us / 1e6 - time.time()) < 1
    assert source.due(time.monotonic()) is None, "at the end there is nothing to wait for"
    assert source.details["replay"] == "at the end of the file"
    source.close()


def test_speed_and_loop(section: Callable[..., Any], log: Path) -> None:
    source = open_source(section("replay", file=str(log), speed=10, loop=True))
    frames = frames_of(source, 35)
    assert [frame.arbitration_id for frame in frames[:35]] == [*range(10)] * 3 + [*range(5)]
    seconds = (frames[29].timestamp_us - frames[0].timestamp_us) / 1e6
    assert seconds == pytest.approx(0.056, abs=0.02)
    source.close()


def test_filters_remote_and_error_frames(section: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(
        "(1.0) can0 100#01\n(1.0) can0 200#02\n(1.0) can0 100#R\n(1.0) can0 20000080#0004000000000000\n"
    )
    source = open_source(section("replay", file=str(path), filters=[{"id": 0x100}]))
    found = read_until(source, lambda: source.error_frames == 1)
    assert [frame.arbitration_id for frame in found] == [0x100]
    assert source.remote_frames == 1
    source.close()


def test_missing_file_is_waited_for(section: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(AdapterAbsent, match=r"none\.log does not exist. Put the log there"):
        open_source(section("replay", file=str(tmp_path / "none.log")))


# python-can's reader leaves the file to the garbage collector where its constructor fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "content"), [("a.xyz", ""), ("a.log", "not a log\n"), ("a.blf", "not a log\n")]
)
def test_file_that_is_no_log_is_refused(
    section: Callable[..., Any], tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsRefused, match="Use a log that python-can reads"):
        open_source(section("replay", file=str(tmp_path / name)))


def test_empty_log_does_not_spin(section: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("")
    source = open_source(section("replay", file=str(tmp_path / "empty.log"), loop=True))
    assert source.due(time.monotonic()) is None
    source.close()
