"""Recording by a real daemon, to real files and a disk that is really full."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.harness import Client, Daemon, alive, busy_limit_s, poll
from tests.support.numbered_frames import Sender, numbers, slcan_line
from tests.support.recorded_files import frames_in, recorded
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def mock(record: str, more: str = "rate = 5000\n") -> str:
    return f'[bus.m]\ninterface = "mock"\n{more}record = {{ {record} }}\n'


def recording(daemon: Daemon, name: str = "m") -> dict[str, Any]:
    found: dict[str, Any] = daemon.bus(name)["recording"]
    return found


def recorder_of(worker: int) -> psutil.Process:
    """Return the recorder that this worker has started."""
    (found,) = poll(lambda: psutil.Process(worker).children(), what="a recorder")
    return found


def wait_counted(daemon: Daemon) -> dict[str, Any]:
    """Wait until every frame that clients could get is recorded or dropped; returns the recording's status.

    The flood ends with its last client, and the first report that lists no client has all its frames.
    """
    frames = poll(
        lambda: not (bus := daemon.bus("m"))["clients"] and bus["frames"]["received"], what="nobody listens"
    )
    poll(
        lambda: recording(daemon)["frames"] + recording(daemon)["dropped"] == frames,
        what=f"{frames} frames, recorded or not",
    )
    return recording(daemon)


@pytest.mark.parametrize("file_format", ["log", "asc", "blf"])
def test_busy_bus_is_recorded_as_its_clients_receive_it(
    file_format: str, daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\n'
            f'record = {{ directory = "{folder}", format = "{file_format}", rotate_mb = 1 }}\n'
        )
        with Client(running.wait_state("a", "running")["port"]) as viewer:
            poll(lambda: len(running.bus("a")["clients"]) == 1, what="only the viewer is connected")
            with Sender(lambda number: adapter.write(slcan_line(number)), 9009) as sender:
                poll(lambda: sender.sent >= 40_000, 60, "four seconds of frames")
            frames = viewer.wait_frames(sender.sent)
        poll(lambda: recording(running, "a")["frames"] == sender.sent, what="all frames are counted")
        shown = recording(running, "a")
        assert (shown["state"], shown["reason"], shown["dropped"]) == ("recording", "", 0)
        assert shown["file"] in map(str, folder.iterdir())
        running.stop()
    assert numbers(frames) == list(range(sender.sent))
    poll(lambda: recorded(folder) == frames, what="the files hold the same frames")
    if file_format != "blf":  # which needs a tenth of the space
        assert len(list(folder.iterdir())) > 1


def test_status_shows_the_file(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"') + '[bus.other]\ninterface = "mock"\n')
    running.wait_state("m", "running")
    assert recording(running, "other") is None
    assert "records from the first frame on" in running.ctl("status", "m").stdout
    with Client(running.wait_port("m")) as viewer:
        viewer.wait_frames(10)
        shown = poll(lambda: recording(running)["file"] and recording(running), what="a file")
        assert shown["file"].startswith(f"{tmp_path}/r/m-000001-20")
        assert f"records to {shown['file']}" in running.ctl("status", "m").stdout
    running.ctl("stop", "m")
    assert recording(running)["state"] == "stopped"
    assert recording(running)["reason"] == "the bus is stopped"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], tuple[Daemon, Path]]]:
    """Start a daemon with a small disk of its own; returns the daemon and the path of the disk."""
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
    for daemon in started:
        daemon.__exit__()


@pytest.mark.parametrize("file_format", ["log", "asc", "blf"])
def test_full_disk_stops_only_the_recording_until_there_is_space_again(
    file_format: str, small_disk: Callable[..., tuple[Daemon, Path]]
) -> None:
    running, disk = small_disk(f'format = "{file_format}"')
    running.wait_state("m", "running")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(7_600_000))  # text fills the rest before the next check of the free space
    viewer = Client(running.wait_port("m"))
    stopped = poll(lambda: recording(running)["state"] == "stopped" and recording(running), 60, "a full disk")
    assert "is full" in stopped["reason"]
    poll(lambda: recording(running)["dropped"] > 0, what="frames are dropped")
    bus = running.bus("m")
    assert (bus["state"], bus["lost"]["clients"]) == ("running", 0)
    assert "recording stopped: the disk of" in running.ctl("status", "m").stdout
    assert any("error" in line and "is full" in line for line in running.ctl("events").stdout.splitlines())
    viewer.wait_more()
    (first,) = (disk / "r").iterdir()
    before = numbers(frames_in(first))
    assert before == list(range(len(before))), "the file is whole"
    assert len(before) == stopped["frames"]
    ballast.unlink()
    poll(lambda: recording(running)["state"] == "recording", what="there is space again")
    poll(lambda: recording(running)["frames"] > stopped["frames"] + 100, what="recording goes on")
    viewer.close()
    frames = viewer.frames
    assert numbers(frames) == list(range(len(frames))), "the client lost nothing"
    shown = wait_counted(running)
    (second,) = set((disk / "r").iterdir()) - {first}
    after = numbers(frames_in(second))
    assert after == list(range(after[0], after[0] + len(after)))
    assert shown["frames"] == len(before) + len(after)
    assert any("recording goes on" in line for line in running.ctl("events").stdout.splitlines())


def test_read_only_disk_is_reported_with_the_remedy(small_disk: Callable[..., tuple[Daemon, Path]]) -> None:
    running, _ = small_disk("keep = 3", "ro,size=8m")
    running.wait_state("m", "running")
    shown = poll(lambda: recording(running)["state"] == "stopped" and recording(running), what="a reason")
    assert "is read-only here" in shown["reason"]
    assert "ReadWritePaths=" in shown["reason"]
    with Client(running.wait_port("m")) as viewer:
        viewer.wait_frames(100)


def test_killed_recorder_is_reported_and_replaced(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    running = daemon(mock(f'directory = "{folder}", format = "blf"'))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    poll(lambda: recording(running)["frames"] > 5000, what="a second of frames")
    first = recorder_of(worker)
    first.kill()
    poll(lambda: "ended by signal 9" in running.ctl("events").stdout, what="a reason")
    stopped_at = recording(running)["frames"]
    poll(lambda: recording(running)["frames"] > stopped_at + 5000, what="the next one records")
    assert recorder_of(worker).pid != first.pid
    assert running.bus("m")["pid"] == worker
    viewer.close()
    assert numbers(viewer.frames) == list(range(len(viewer.frames))), "the client lost nothing"
    shown = wait_counted(running)
    assert shown["dropped"] > 0
    assert running.stop() == 0
    found = numbers(recorded(folder))
    assert found == sorted(set(found))
    assert len(found) >= shown["frames"], "all frames counted as recorded are there"


@pytest.mark.parametrize("file_format", ["log", "blf"])
def test_killed_worker_leaves_a_whole_file(
    file_format: str, daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    running = daemon(mock(f'directory = "{folder}", format = "{file_format}"', "rate = 1000\n"))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    viewer.wait_frames(2000)
    recorder = recorder_of(worker)
    os.kill(worker, signal.SIGKILL)
    poll(lambda: not alive(recorder.pid), what="the recorder ends")
    poll(lambda: viewer.ended, what="the client is disconnected")
    (file,) = folder.iterdir()
    frames = frames_in(file)
    # The batch during which the worker was killed may be missing, since clients are served first.
    last_batch = viewer.arrivals_s.count(viewer.arrivals_s[-1])
    assert len(frames) >= len(viewer.frames) - last_batch
    assert frames[: len(viewer.frames)] == viewer.frames[: len(frames)]
    assert numbers(frames) == list(range(len(frames)))


def test_hanging_recorder_loses_only_its_own_frames(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    more = "rate = 9000\nclient_backlog = 65536\n"
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', more))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    viewer.wait_frames(1000)
    recorder = recorder_of(worker)
    recorder.suspend()
    try:
        poll(lambda: recording(running)["dropped"] > 1000, 60, "frames are dropped")
        poll(lambda: "has not answered for" in recording(running)["reason"], what="the reason")
        viewer.wait_more()
    finally:
        recorder.resume()
    poll(lambda: recording(running)["reason"] == "", what="the recorder answers again")
    assert any("falls behind" in line for line in running.ctl("events").stdout.splitlines())
    viewer.close()
    assert numbers(viewer.frames) == list(range(len(viewer.frames)))
    shown = wait_counted(running)
    assert running.stop() == 0
    found = numbers(recorded(tmp_path / "r"))
    assert len(found) == shown["frames"]
    assert found == sorted(set(found)), "whole packets, in order"


def test_reload_starts_and_stops_recording_and_clients_stay_connected(
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


def test_unplugged_adapter_ends_the_file_and_the_next_start_begins_another(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(
            f'[bus.a]\ninterface = "slcan"\nchannel = "{tmp_path / "tty"}"\nrecord.directory = "{folder}"\n'
        )
        for _ in range(2):
            running.wait_state("a", "running")
            enough = recording(running, "a")["frames"] + 500
            with Sender(lambda number: adapter.write(slcan_line(number)), 1000):
                poll(lambda enough=enough: recording(running, "a")["frames"] > enough, what="frames")  # type: ignore[misc]
            adapter.unplug()
            running.wait_state("a", "waiting")
            adapter.plug()
        assert len(list(folder.iterdir())) == 2
        # If the bus does not start, no file begins.
        adapter.unplug()
        running.wait_state("a", "waiting")
        assert recording(running, "a")["file"] is None
    assert len(list(folder.iterdir())) == 2


def test_recorded_simulation_stays_silent_without_a_viewer(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', "speed = 20\n"))
    running.wait_state("m", "running")
    poll(lambda: (tmp_path / "r").is_dir(), what="the recorder has started")
    assert running.bus("m")["clients"] == []
    assert running.bus("m")["frames"]["received"] == 0


def test_recorder_ends_soon_after_the_daemon(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    running = daemon(mock(f'directory = "{tmp_path / "r"}"', "rate = 5000\n"))
    worker = running.wait_state("m", "running")["pid"]
    viewer = Client(running.wait_port("m"))
    poll(lambda: recording(running)["file"], what="a file")
    recorder = recorder_of(worker).pid
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < busy_limit_s(6)
    poll(lambda: not alive(recorder), busy_limit_s(5), "the recorder ends")
    poll(lambda: viewer.ended, what="the client is disconnected")
    assert recorded(tmp_path / "r")[: len(viewer.frames)] == viewer.frames
    # The same if the daemon is killed: first the worker notices it, then the recorder.
    running.start()
    recorder = recorder_of(running.wait_state("m", "running")["pid"]).pid
    running.kill()
    poll(lambda: not alive(recorder), busy_limit_s(10), "the recorder ends")
