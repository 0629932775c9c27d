from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.log_files.log_file import Log, open_log
from cancorderd.adapters.registry import open_source
from cancorderd.adapters.replay import ReplaySource
from tests.support.harness import PATIENCE_S
from tests.support.source_reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cancorderd.adapters.log_files.entries import Flaw, LogFrame


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


def test_log_is_played_at_its_own_pace(make_settings: Callable[..., Any], log: Path) -> None:
    source = open_source(make_settings("replay", file=str(log)))
    frames = frames_of(source, 10)
    assert [frame.arbitration_id for frame in frames] == list(range(10))
    assert (frames[-1].timestamp_us - frames[0].timestamp_us) / 1e6 == pytest.approx(0.18, abs=0.01)
    assert abs(frames[-1].timestamp_us / 1e6 - time.time()) < 5
    assert source.due(time.monotonic()) is None, "nothing is due at the end"
    assert source.details["replay"] == "at the end of the file"
    source.close()


def test_speed_and_loop(make_settings: Callable[..., Any], log: Path) -> None:
    source = open_source(make_settings("replay", file=str(log), speed=10, loop=True))
    frames = frames_of(source, 35)
    assert [frame.arbitration_id for frame in frames[:35]] == [*range(10)] * 3 + [*range(5)]
    seconds = (frames[29].timestamp_us - frames[0].timestamp_us) / 1e6
    assert seconds == pytest.approx(0.056, abs=0.02)
    source.close()


def test_filters_remote_and_error_frames(make_settings: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(
        "(1.0) can0 100#01\n(1.0) can0 200#02\n(1.0) can0 100#R\n(1.0) can0 20000080#0004000000000000\n"
    )
    source = open_source(make_settings("replay", file=str(path), filters=[{"id": 0x100}]))
    found = read_until(source, lambda: source.error_frames == 1)
    assert [frame.arbitration_id for frame in found] == [0x100]
    assert source.remote_frames == 1
    source.close()


def test_missing_file_is_waited_for(make_settings: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(AdapterAbsent, match=r"none\.log does not exist. Put the log there"):
        open_source(make_settings("replay", file=str(tmp_path / "none.log")))


@pytest.mark.parametrize(
    ("name", "content"), [("a.xyz", ""), ("a.log", "not a log\n"), ("a.blf", "not a log\n")]
)
def test_file_that_is_no_log_is_refused(
    make_settings: Callable[..., Any], tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsRefused, match="Use a log that python-can reads"):
        open_source(make_settings("replay", file=str(tmp_path / name)))


@pytest.fixture
def replay(make_settings: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., ReplaySource]]:
    """Return a function that replays a text."""
    opened: list[ReplaySource] = []

    def play(text: str, name: str = "drive.log", **keys: Any) -> ReplaySource:
        (tmp_path / name).write_text(text)
        source = open_source(make_settings("replay", file=str(tmp_path / name), **keys))
        assert isinstance(source, ReplaySource)
        opened.append(source)
        return source

    yield play
    for source in opened:
        source.close()


def lines(*stamps: float) -> str:
    return "".join(f"({stamp:f}) can0 123#{number:04X}\n" for number, stamp in enumerate(stamps))


def at_end(source: ReplaySource) -> Callable[[], bool]:
    return lambda: "replay" in source.details


def notices_of(source: ReplaySource, level: str = "warning") -> list[str]:
    return [text for kind, text in source.notices if kind == level]


@pytest.mark.parametrize("speed", [1.0, 1000.0])
def test_cut_last_line_and_bad_lines_cost_nothing_but_themselves(
    replay: Callable[..., ReplaySource], tmp_path: Path, speed: float
) -> None:
    good = lines(*[number / 1000 for number in range(50)]).splitlines()
    good.insert(7, "(0.007) can0 12#ZZ")
    source = replay("\n".join([*good, "(0.05) can0 123#00"]), speed=speed)
    found = read_until(source, at_end(source))
    assert [frame.data for frame in found] == [number.to_bytes(2, "big") for number in range(50)]
    assert source.error_frames == 2
    assert source.due(time.monotonic()) is None
    file = tmp_path / "drive.log"
    assert notices_of(source) == [
        f'{file}:8: "ZZ" are no bytes in hexadecimal. Skipped.',
        f'{file}:52: the last line is cut: "(0.05) can0 123#00". Skipped.',
        f"{file}: 2 lines unreadable and skipped; frames played: 50.",
    ]
    assert source.details["skipped"].startswith(f"2 lines; the first: {file}:8: ")


def test_loop_loops_over_an_unreadable_end_and_reports_it_once(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0, 0.001) + "(0.002) can0 12", loop=True, speed=1000.0)
    found = frames_of(source, 20)
    assert [frame.data[1] for frame in found[:6]] == [0, 1, 0, 1, 0, 1]
    assert source.error_frames >= 9
    assert len(notices_of(source)) == 2


def test_many_bad_lines_are_counted_and_few_are_named(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0) + "bad\n" * 20_000 + lines(0.0))
    assert len(read_until(source, at_end(source))) == 2
    assert source.error_frames == 20_000
    assert len(notices_of(source)) == 6


def test_no_read_takes_more_than_its_share(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0) + "bad\n" * 20_000 + lines(0.0))
    before = 0
    for _ in range(20):
        source.read(time.monotonic())
        assert source.error_frames - before <= 500
        before = source.error_frames


def test_frames_that_can_does_not_have_are_counted_and_never_sent(
    replay: Callable[..., ReplaySource],
) -> None:
    illegal = ["123#" + "00" * 9, "123##0" + "00" * 9, "FFF#00", "123##0" + "00" * 65, "3FFFFFFFF#00"]
    source = replay("".join(f"(0) can0 {frame}\n" for frame in illegal) + lines(0.0))
    assert len(read_until(source, at_end(source))) == 1
    assert source.error_frames == len(illegal)
    assert "9 bytes; a classic frame holds at most 8" in notices_of(source)[0]


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        (
            (0.0, 1_700_000_000.0, 1_700_000_000.05),
            "a gap of more than 60 minutes before this frame is shortened",
        ),
        ((1_700_000_000.0, 0.0, 0.05), "the log's clock was set back before this frame"),
        ((0.0, -1e300, 1e300, 0.05), "the log's clock was set back before this frame"),
        ((5.0, 4.5, 5.05), None),
    ],
)
def test_strange_clock_of_a_log(
    replay: Callable[..., ReplaySource], stamps: tuple[float, ...], words: str | None
) -> None:
    source = replay(lines(*stamps), speed=5.0)
    found = read_until(source, at_end(source))
    assert len(found) == len(stamps)
    played = [frame.timestamp_us for frame in found]
    assert played == sorted(played)
    assert played[-1] - played[0] < 2_000_000
    assert (f"{source._file}:2: {words}" in notices_of(source)[0]) if words else not notices_of(source)


def test_stamps_never_go_back_between_reads(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(*[number / 1e6 for number in range(1000)]), loop=True)
    played = [frame.timestamp_us for frame in frames_of(source, 20_000)]
    assert played == sorted(played)


@pytest.mark.parametrize("step_s", [-7200, -1, 3600])
def test_stamps_follow_the_clock_of_the_host_when_it_is_set(
    replay: Callable[..., ReplaySource], monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    source = replay(lines(*[number / 1000 for number in range(200)]), loop=True)
    before = frames_of(source, 50)[-1].timestamp_us
    monkeypatch.setattr(
        "cancorderd.adapters.replay.clocks_us",
        lambda: (time.time_ns() // 1000 + step_s * 1_000_000, time.monotonic_ns() // 1000),
    )
    after = [frame.timestamp_us for frame in frames_of(source, 50)]
    assert after == sorted(after)
    assert (after[0] < before) == (step_s < 0)


def test_file_without_a_frame_is_waiting_until_it_has_one(replay: Callable[..., ReplaySource]) -> None:
    for text, name in (
        ("", "a.log"),
        ("# nothing\n\n", "b.log"),
        ("date\nbase hex\n", "c.asc"),
        ("", "d.blf"),
    ):
        source = replay(text, name, loop=True)
        assert source.waiting == f"there is no frame in {source._file}. Put frames there, or correct file."
        assert source.due(time.monotonic()) is None
        assert "replay" not in source.details
    source = replay("", "e.log")
    with open(source._file, "a") as file:
        file.write(lines(0.0))
    assert len(read_until(source, at_end(source))) == 1
    assert source.waiting == ""


def test_several_channels_are_named(replay: Callable[..., ReplaySource]) -> None:
    source = replay("(0) can0 123#00\n(0) can1 123#00\n(0) 123#00\n")
    assert len(read_until(source, at_end(source))) == 3
    assert source.details["channels"] == "can0, can1"
    assert notices_of(source, "info")[0].endswith(
        "the frames of its channels can0, can1 are played on one bus."
    )


def test_wrong_suffix_is_named(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0), "drive.asc")
    assert len(read_until(source, at_end(source))) == 1
    assert notices_of(source, "info") == [f"{source._file} is candump's log, whatever its name says."]


def test_file_that_is_removed_replaced_or_emptied_while_it_loops(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0), loop=True)
    frames_of(source, 5)
    with open(f"{source._file}.new", "w") as file:
        file.write("(0) can0 456#77\n")
    os.replace(f"{source._file}.new", source._file)
    found: set[int] = set()

    def replaced() -> bool:
        found.update(frame.arbitration_id for frame in frames_of(source, 1))
        return 0x456 in found

    read_until(source, replaced)
    with open(source._file, "w"):
        pass
    read_until(source, lambda: source.waiting != "")
    assert "there is no frame in" in source.waiting
    os.remove(source._file)
    with pytest.raises(AdapterAbsent, match="does not exist"):
        read_until(source, lambda: False)


def test_file_that_is_removed_while_it_plays_ends_the_bus(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0, 0.1), loop=True)
    os.remove(source._file)
    with pytest.raises(BusError, match="does not exist"):
        read_until(source, lambda: False)


def test_damaged_in_a_later_pass_to_its_last_frame_it_fails(replay: Callable[..., ReplaySource]) -> None:
    source = replay(lines(0.0), loop=True)
    frames_of(source, 5)
    with open(source._file, "w") as file:
        file.write("garbage\n")
    with pytest.raises(SettingsRefused, match=r"drive\.log:1: no frame"):
        read_until(source, lambda: False)


def test_file_system_that_does_not_answer_is_waited_for(
    make_settings: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def slow_open(path: str) -> Log:
        answer.wait(PATIENCE_S)
        return open_log(path)

    monkeypatch.setattr("cancorderd.adapters.replay.open_log", slow_open)
    monkeypatch.setattr("cancorderd.adapters.replay._OPEN_S", 0.01)
    (tmp_path / "a.log").write_text(lines(0.0))
    source = open_source(make_settings("replay", file=str(tmp_path / "a.log")))
    assert "does not answer (df, mount)" in source.waiting
    assert source.read(time.monotonic()).frames == 0
    assert source.due(time.monotonic()) is None
    answer.set()
    assert len(read_until(source, lambda: "replay" in source.details)) == 1
    assert source.waiting == ""
    source.close()


def test_reading_that_stands_still_is_waiting_and_goes_on(
    make_settings: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def slow_log(path: str) -> Log:
        log = open_log(path)

        def entries() -> Iterator[LogFrame | Flaw]:
            for number, entry in enumerate(log.entries):
                if number == 1:
                    answer.wait(PATIENCE_S)
                yield entry

        return Log(entries(), log.unit)

    monkeypatch.setattr("cancorderd.adapters.replay.open_log", slow_log)
    (tmp_path / "a.log").write_text(lines(0.0, 0.0))
    source = open_source(make_settings("replay", file=str(tmp_path / "a.log")))
    frames_of(source, 1)
    now_s = time.monotonic()
    assert not source.waiting
    due_s = source.due(now_s)
    assert due_s is not None
    assert 0 < due_s <= 2
    source.read(now_s + due_s)
    assert "is still being read" in source.waiting
    assert source.due(now_s + due_s) is None
    answer.set()
    assert len(read_until(source, lambda: "replay" in source.details)) == 1
    assert source.waiting == ""
    source.close()
