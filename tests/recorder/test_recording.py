"""A bus that is recorded: real daemon, real files, a disk that is really full."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.adapters.terminal import Terminal
from tests.e2e.numbered import Sender, slcan_line
from tests.e2e.numbered import numbers as slcan_numbers
from tests.harness import Client, Daemon, alive, poll
from tests.recorder.reading import frames_in, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cancorderd.frame import Frame


def mock(record: str, more: str = "rate = 5000\n") -> str:
    return f'[bus.m]\ninterface = "mock"\n{more}record = {{ {record} }}\n'


def numbers(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(frame.data) for frame in frames]


def recording(daemon: Daemon, name: str = "m") -> dict[str, Any]:
    found: dict[str, Any] = daemon.bus(name)["recording"]
    return found


def recorder_of(worker: int) -> psutil.Process:
    """The recorder that this worker has started."""
    (found,) = poll(lambda: psutil.Process(worker).children(), what="a recorder")
    return found


def wait_counted(daemon: Daemon, frames: int) -> dict[str, Any]:
    """Wait until status has told of every frame whether it is in a file."""
    poll(
        lambda: recording(daemon)["frames"] + recording(daemon)["dropped"] == frames,
        what=f"{frames} frames, recorded or not",
    )
    return recording(daemon)


@pytest.mark.parametrize("kind", ["log", "asc", "blf"])
def test_a_full_bus_is_recorded_as_its_clients_get_it(
    kind: str, daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    with Terminal(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n'
            f'record = {{ directory = "{folder}", format = "{kind}", rotate_mb = 1 }}\n'
        )
        with Client(running.wait_state("a", "running")["port"]) as viewer:
            poll(lambda: len(running.bus("a")["clients"]) == 1, what="it is connected, and nobody else")
            with Sender(lambda number: adapter.write(slcan_line(number)), 9009) as sender:
                poll(lambda: sender.sent >= 40_000, 60, "four seconds of frames")
            frames = viewer.wait_frames(sender.sent)
        poll(lambda: recording(running, "a")["frames"] == sender.sent, what="status counts them all")
        told = recording(running, "a")
        assert (told["state"], told["reason"], told["dropped"]) == ("recording", "", 0)
        assert told["file"] in map(str, folder.iterdir())
        running.stop()
    assert slcan_numbers(frames) == list(range(sender.sent))
    poll(lambda: recorded(folder) == frames, what="the files hold the same frames")
    if kind != "blf":  # which needs a tenth of the room
        assert len(list(folder.iterdir())) > 1


def test_status_shows_where_it_records(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"') + '[bus.other]\ninterface = "mock"\n')
    running.wait_state("m", "running")
    assert recording(running, "other") is None
    assert "records from the first frame on" in running.ctl("status", "m").stdout
    with Client(running.wait_port("m")) as viewer:
        viewer.wait_frames(10)
        told = poll(lambda: recording(running)["file"] and recording(running), what="a file")
        assert told["file"].startswith(f"{tmp_path}/r/m-20")
        assert f"records to {told['file']}" in running.ctl("status", "m").stdout
    running.ctl("stop", "m")
    assert recording(running)["state"] == "stopped"
    assert recording(running)["reason"] == "the bus is stopped"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], tuple[Daemon, Path]]]:
    """Starts a daemon that has a small disk of its own; returns the disk as seen from here."""
    place = tmp_path / "disk"
    place.mkdir()
    started: list[Daemon] = []

    def start(record: str, options: str = "size=8m") -> tuple[Daemon, Path]:
        daemon = Daemon(tmp_path, mock(f'directory = "{place}/r", {record}', "rate = 20000\n"))
        apart = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        mount = f'mount -t tmpfs -o {options} none "{place}" && exec "$@"'
        daemon.prefix = [*apart, "sh", "-c", mount, "sh"]
        started.append(daemon)
        daemon.start()
        assert daemon.process
        return daemon, Path(f"/proc/{daemon.process.pid}/root{place}")

    yield start
    Client.close_all()
    for one in started:
        one.__exit__()


@pytest.mark.parametrize("kind", ["log", "asc", "blf"])
def test_a_full_disk_stops_recording_and_never_the_bus_and_goes_on_when_there_is_room(
    kind: str, small_disk: Callable[..., tuple[Daemon, Path]]
) -> None:
    running, disk = small_disk(f'format = "{kind}"')
    running.wait_state("m", "running")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(7_600_000))  # text fills the rest before the next look at the free room
    viewer = Client(running.wait_port("m"))
    stopped = poll(lambda: recording(running)["state"] == "stopped" and recording(running), 60, "a full disk")
    assert "is full" in stopped["reason"]
    poll(lambda: recording(running)["dropped"] > 0, what="frames that are left out")
    bus = running.bus("m")
    assert (bus["state"], bus["lost"]["clients"]) == ("running", 0)
    assert "recording stopped: the disk of" in running.ctl("status", "m").stdout
    assert any("error" in line and "is full" in line for line in running.ctl("events").stdout.splitlines())
    viewer.wait_more()
    (first,) = (disk / "r").iterdir()
    before = numbers(frames_in(first))
    assert before == list(range(len(before))), "what is there is whole"
    assert len(before) == stopped["frames"]
    ballast.unlink()
    poll(lambda: recording(running)["state"] == "recording", what="there is room again")
    poll(lambda: recording(running)["frames"] > stopped["frames"] + 100, what="it goes on")
    viewer.close()
    frames = viewer.frames
    assert numbers(frames) == list(range(len(frames))), "the client lost nothing"
    told = wait_counted(running, running.bus("m")["frames"]["received"])
    (second,) = set((disk / "r").iterdir()) - {first}
    after = numbers(frames_in(second))
    assert after == list(range(after[0], after[0] + len(after)))
    assert told["frames"] == len(before) + len(after)
    assert any("recording goes on" in line for line in running.ctl("events").stdout.splitlines())


def test_a_read_only_disk_is_told_with_the_remedy(small_disk: Callable[..., tuple[Daemon, Path]]) -> None:
    running, _ = small_disk("keep = 3", "ro,size=8m")
    running.wait_state("m", "running")
    told = poll(lambda: recording(running)["state"] == "stopped" and recording(running), what="it is told")
    assert "is read-only here" in told["reason"]
    assert "ReadWritePaths=" in told["reason"]
    with Client(running.wait_port("m")) as viewer:
        viewer.wait_frames(100)


def test_a_killed_recorder_is_told_and_replaced(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    running = daemon(mock(f'directory = "{folder}", format = "blf"'))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    poll(lambda: recording(running)["frames"] > 5000, what="a second of frames")
    first = recorder_of(worker)
    first.kill()
    poll(lambda: "ended by signal 9" in running.ctl("events").stdout, what="it is told")
    stopped_at = recording(running)["frames"]
    poll(lambda: recording(running)["frames"] > stopped_at + 5000, what="the next one records")
    assert recorder_of(worker).pid != first.pid
    assert running.bus("m")["pid"] == worker
    viewer.close()
    assert numbers(viewer.frames) == list(range(len(viewer.frames))), "the client lost nothing"
    told = wait_counted(running, running.bus("m")["frames"]["received"])
    assert told["dropped"] > 0
    assert running.stop() == 0
    found = numbers(recorded(folder))
    assert found == sorted(set(found))
    assert len(found) >= told["frames"], "what was counted as recorded is there"


@pytest.mark.parametrize("kind", ["log", "blf"])
def test_a_killed_worker_leaves_a_whole_file(
    kind: str, daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    running = daemon(mock(f'directory = "{folder}", format = "{kind}"'))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    viewer.wait_frames(7000)
    recorder = recorder_of(worker)
    os.kill(worker, signal.SIGKILL)
    poll(lambda: not alive(recorder.pid), what="the recorder ends")
    poll(lambda: viewer.ended, what="the client is disconnected")
    (file,) = folder.iterdir()
    frames = frames_in(file)
    # All but the batch amid which it was killed: clients come first.
    assert len(frames) > len(viewer.frames) - 64
    assert frames[: len(viewer.frames)] == viewer.frames[: len(frames)]
    assert numbers(frames) == list(range(len(frames)))


def test_a_recorder_that_hangs_costs_its_own_frames_and_nothing_else(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    more = "rate = 9000\nclient_backlog = 65536\n"
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', more))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    viewer.wait_frames(1000)
    recorder = recorder_of(worker)
    recorder.suspend()
    try:
        poll(lambda: recording(running)["dropped"] > 1000, 60, "frames that find no room")
        poll(lambda: "has said nothing for" in recording(running)["reason"], what="it is told why")
        viewer.wait_more()
    finally:
        recorder.resume()
    poll(lambda: recording(running)["reason"] == "", what="all is well")
    assert any("falls behind" in line for line in running.ctl("events").stdout.splitlines())
    viewer.close()
    assert numbers(viewer.frames) == list(range(len(viewer.frames)))
    told = wait_counted(running, running.bus("m")["frames"]["received"])
    assert running.stop() == 0
    found = numbers(recorded(tmp_path / "r"))
    assert len(found) == told["frames"]
    assert found == sorted(set(found)), "whole packets, in order"


def test_a_reload_begins_and_ends_recording_and_clients_stay(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    plain = '[bus.m]\ninterface = "mock"\nrate = 2000\n'
    running = daemon(plain)
    with Client(running.wait_port("m")) as viewer:
        viewer.wait_frames(100)
        assert recording(running) is None
        running.write(plain + f'record.directory = "{folder}"\n')
        assert "m: restarted (record)" in running.ctl("reload").stdout
        poll(lambda: recording(running)["frames"] > 100, what="frames are recorded")
        recorder = recorder_of(running.bus("m")["pid"])
        running.write(plain)
        assert "m: restarted (record)" in running.ctl("reload").stdout
        assert recording(running) is None
        poll(lambda: not alive(recorder.pid), what="the recorder ends")
        viewer.wait_more()
        assert not viewer.ended
    assert len(recorded(folder)) > 100


def test_an_unplugged_adapter_ends_a_file_and_the_next_start_begins_one(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    with Terminal(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nrecord.directory = "{folder}"\n'
        )
        for turn in range(2):
            running.wait_state("a", "running")
            with Sender(lambda number: adapter.write(slcan_line(number)), 1000):
                poll(lambda turn=turn: recording(running, "a")["frames"] > 500 * (turn + 1), what="frames")  # type: ignore[misc]
            adapter.unplug()
            running.wait_state("a", "waiting")
            adapter.plug()
        assert len(list(folder.iterdir())) == 2
        # Where the bus does not come up, no file begins.
        adapter.unplug()
        running.wait_state("a", "waiting")
        assert recording(running, "a")["file"] is None
    assert len(list(folder.iterdir())) == 2


def test_without_a_viewer_a_simulation_stays_silent_although_it_is_recorded(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', "speed = 20\n"))
    running.wait_state("m", "running")
    poll(lambda: (tmp_path / "r").is_dir(), what="the recorder is there")
    assert running.bus("m")["clients"] == []
    assert running.bus("m")["frames"]["received"] == 0


def test_the_end_of_the_daemon_ends_the_recorder_and_fast(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', "rate = 5000\n"))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    poll(lambda: recording(running)["file"], what="a file")
    recorder = recorder_of(worker).pid
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < 3
    poll(lambda: not alive(recorder), 5, "the recorder ends")
    poll(lambda: viewer.ended, what="the client is disconnected")
    assert recorded(tmp_path / "r")[: len(viewer.frames)] == viewer.frames
    # The same where it is killed: the worker notices, and the recorder notices that.
    running.start()
    recorder = recorder_of(running.wait_state("m", "running")["pid"]).pid
    running.kill()
    poll(lambda: not alive(recorder), 10, "the recorder ends")
