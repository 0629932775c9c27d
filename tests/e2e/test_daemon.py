"""The daemon as a whole: real processes, sockets, terminals and signals."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil

from tests.support.harness import PATIENCE_S, Client, Daemon, alive, busy_limit_s, poll
from tests.support.numbered_frames import Sender, assert_consecutive, numbers, slcan_line
from tests.support.slcan_port import SlcanPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Start = "Callable[[str], Daemon]"

MOCK = '[bus.mock]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def slcan(name: str, link: Path, more: str = "") -> str:
    return f'[bus.{name}]\ninterface = "slcan"\nchannel = "{link}"\n{more}'


def test_buses_stream_to_all_clients_without_loss(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    links = [tmp_path / "tty0", tmp_path / "tty1"]
    with SlcanPort(links[0]) as first, SlcanPort(links[1]) as second:
        running = daemon(slcan("a", links[0]) + slcan("b", links[1]) + MOCK)
        ports = [running.wait_state(name, "running")["port"] for name in ("a", "b", "mock")]
        clients = [[Client(port) for _ in range(3)] for port in ports]
        poll(
            lambda: all(len(bus["clients"]) == 3 for bus in running.status()["buses"]),
            what="connections of all clients",
        )
        with (
            Sender(lambda number: first.write(slcan_line(number)), 2000) as first_sender,
            Sender(lambda number: second.write(slcan_line(number)), 2000) as second_sender,
        ):
            poll(lambda: min(first_sender.sent, second_sender.sent) >= 10_000, what="10,000 frames each")
        for sender, viewers in zip((first_sender, second_sender), clients, strict=False):
            for viewer in viewers:
                viewer.wait_frames(sender.sent)
                assert numbers(viewer.frames) == list(range(sender.sent))
        for viewer in clients[2]:
            viewer.wait_frames(20)
        poll(
            lambda: running.bus("a")["frames"]["received"] == first_sender.sent,
            what="every frame in the status",
        )
        assert running.bus("a")["lost"] == {"kernel": 0, "adapter": 0, "clients": 0, "unknown": 0}


def test_full_bus_of_an_slcan_adapter_arrives_complete(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan("a", tmp_path / "tty"))
        with Client(running.wait_state("a", "running")["port"]) as viewer:
            poll(lambda: len(running.bus("a")["clients"]) == 1, what="a connection")
            # 1 Mbit/s of frames with 8 bytes and 11-bit ids
            with Sender(lambda number: adapter.write(slcan_line(number)), 9009) as sender:
                poll(lambda: sender.sent >= 27_000, 60, "three seconds of frames")
            viewer.wait_frames(sender.sent)
            assert numbers(viewer.frames) == list(range(sender.sent))


def test_a_stalled_client_does_not_affect_the_others(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    backlog = 65536
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(slcan("a", tmp_path / "tty", f"client_backlog = {backlog}\n"))
        port = running.wait_state("a", "running")["port"]
        stalled = Client(port, reads=False)
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer = Client(port)
        poll(lambda: len(running.bus("a")["clients"]) == 2, what="both are connected")
        worker = psutil.Process(running.bus("a")["pid"])
        before = worker.memory_info().rss
        with Sender(lambda number: adapter.write(slcan_line(number)), 5000) as sender:
            poll(lambda: running.bus("a")["lost"]["clients"] > 1000, 120, "drops for the stalled client")
        viewer.wait_frames(sender.sent)
        assert numbers(viewer.frames) == list(range(sender.sent))
        delays = sorted(
            arrival - frame.timestamp_us / 1e6
            for frame, arrival in zip(viewer.frames, viewer.arrivals_s, strict=True)
        )
        # The slowest frame in a thousand does not count: this machine may be busy for a moment.
        assert delays[len(delays) * 999 // 1000] < busy_limit_s(5), f"longest delay {delays[-1]:.3f} s"
        assert worker.memory_info().rss - before < backlog + (2 << 20)
        poll(lambda: running.bus("a")["frames"]["received"] == sender.sent, what="every frame in the status")
        slow, fast = sorted(running.bus("a")["clients"], key=lambda client: -client["frames_dropped"])
        assert slow["frames_dropped"] > 1000
        assert slow["backlog_bytes"] <= backlog
        assert (fast["frames_dropped"], fast["frames_sent"]) == (0, sender.sent)
        # The stalled client reads again: whole packets, in order, with gaps for the dropped frames.
        stalled.start_reading()
        poll(
            lambda: bool(stalled.frames) and numbers(stalled.frames)[-1] == sender.sent - 1,
            what="the newest frame",
        )
        found = numbers(stalled.frames)
        assert found == sorted(set(found))
        assert len(found) + slow["frames_dropped"] == sender.sent
        stalled.close()
        viewer.close()


def test_flood_of_a_mock_bus_arrives_complete(daemon: Callable[[str], Daemon]) -> None:
    running = daemon('[bus.flood]\ninterface = "mock"\nrate = 9009\n')
    with Client(running.wait_port("flood")) as viewer:
        frames = viewer.wait_frames(20_000)
    assert [int.from_bytes(frame.data) for frame in frames] == list(range(len(frames)))
    assert {frame.arbitration_id for frame in frames} == {0x100}
    seconds = (frames[-1].timestamp_us - frames[0].timestamp_us) / 1e6
    assert 8000 < len(frames) / seconds < 10_000


def test_killed_worker_is_back_soon_and_connecting_never_fails(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    with SlcanPort(tmp_path / "tty") as adapter:
        running = daemon(MOCK + slcan("other", tmp_path / "tty"))
        mock, other = running.wait_state("mock", "running"), running.wait_state("other", "running")
        with (
            Client(other["port"]) as viewer,
            Sender(lambda number: adapter.write(slcan_line(number)), 1000) as sender,
        ):
            viewer.wait_frames(100)
            os.kill(mock["pid"], signal.SIGKILL)
            killed = time.monotonic()

            def replaced() -> dict[str, Any] | None:
                socket.create_connection(("127.0.0.1", mock["port"]), PATIENCE_S).close()
                bus = running.bus("mock")
                return bus if (bus["state"], bus["restarts"]) == ("running", 1) else None

            back = poll(replaced, what="a new worker")
            assert time.monotonic() - killed < busy_limit_s(5)
            assert back
            assert back["pid"] != mock["pid"]
            assert "signal 9" in back["last_error"]
            with Client(mock["port"]) as again:
                again.wait_frames(5)
            sender.stop()
            viewer.wait_frames(sender.sent)
            assert_consecutive(viewer.frames)
            assert running.bus("other")["pid"] == other["pid"]


def test_a_replugged_adapter_is_used_again_and_the_client_stays_connected(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    adapter = SlcanPort(tmp_path / "tty")
    with adapter:
        running = daemon(slcan("a", tmp_path / "tty"))
        port = running.wait_state("a", "running")["port"]
        viewer = Client(port)
        for turn in range(3):
            before = len(viewer.frames)
            with Sender(lambda number: adapter.write(slcan_line(number)), 2000):
                poll(lambda before=before: len(viewer.frames) > before + 500, what="frames")  # type: ignore[misc]
                adapter.unplug()
            gone = running.wait_state("a", "waiting", "backoff", deadline_s=busy_limit_s(5))
            assert str(tmp_path / "tty") in gone["reason"]
            assert [client["address"] for client in poll(lambda: running.bus("a")["clients"])] == [
                f"127.0.0.1:{viewer.socket.getsockname()[1]}"
            ]
            running.wait_state("a", "waiting")
            adapter.plug()
            plugged = time.monotonic()
            with Sender(lambda number: adapter.write(slcan_line(number)), 200):
                viewer.wait_more()
            assert time.monotonic() - plugged < busy_limit_s(5)
            assert running.wait_state("a", "running")["restarts"] == turn + 1
        assert not viewer.ended
        assert viewer.error is None
        viewer.close()


def test_reload_leaves_unchanged_buses_and_their_clients_alone(
    daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    buses = {
        name: f'[bus.{name}]\ninterface = "mock"\nspeed = 20\nchannel = "{name}"\n'
        for name in ("a", "b", "c")
    }
    running = daemon("".join(buses.values()))
    before = {name: running.wait_state(name, "running") for name in buses}
    viewers = {name: Client(before[name]["port"]) for name in buses}
    for viewer in viewers.values():
        viewer.wait_frames(5)
    running.write("".join(buses.values()).replace("speed = 20", "speed = 30", 1))
    planned = running.ctl("reload", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "a: restarted (speed)" in planned.stdout
    assert "b: unchanged" in planned.stdout
    assert running.bus("a")["pid"] == before["a"]["pid"], "--dry-run changes nothing"
    done = running.ctl("reload")
    assert done.returncode == 0, done.stderr
    after = {bus["name"]: bus for bus in running.status()["buses"]}
    assert after["a"]["pid"] != before["a"]["pid"]
    assert after["a"]["state"] == "running", "the reload is in force when it returns"
    for name in ("b", "c"):
        assert after[name]["pid"] == before[name]["pid"]
    for viewer in viewers.values():
        viewer.wait_more()
        assert not viewer.ended
    # A file with mistakes changes nothing, and every mistake is reported with its line.
    lines = running.file.read_text().splitlines()
    running.write("".join(buses.values()) + '[bus.d]\ninterface = "mock"\nbitrate = -5\nspeeed = 2\n')
    refused = running.ctl("reload")
    assert refused.returncode == 1
    first = len(lines) + 2
    assert f"{running.file}:{first + 1}: bus.d.bitrate: -5 is not above 0." in refused.stderr
    assert f"{running.file}:{first + 2}: bus.d.speeed: " in refused.stderr
    assert {bus["name"]: bus["pid"] for bus in running.status()["buses"]} == {
        name: after[name]["pid"] for name in buses
    }
    # A bus is removed and another is added.
    running.write(buses["a"] + buses["b"].replace("bus.b", "bus.new").replace('"b"', '"new"'))
    changed = running.ctl("reload")
    assert changed.returncode == 0, changed.stderr
    assert [bus["name"] for bus in running.status()["buses"]] == ["a", "new"]
    poll(lambda: viewers["b"].ended and viewers["c"].ended, what="clients of removed buses are disconnected")
    with Client(running.wait_port("new")) as viewer:
        viewer.wait_frames(3)


def test_sighup_reloads(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    running.wait_state("mock", "running")
    running.write(MOCK + MOCK.replace("bus.mock", "bus.more"))
    assert running.process
    running.process.send_signal(signal.SIGHUP)
    poll(lambda: len(running.status()["buses"]) == 2, what="the new bus in the status")


def test_sigterm_ends_everything_soon(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK + MOCK.replace("bus.mock", "bus.more"))
    for name in ("mock", "more"):
        running.wait_state(name, "running")
    workers = [worker.pid for worker in running.workers()]
    assert len(workers) == 2
    viewer = Client(running.bus("mock")["port"])
    viewer.wait_frames(1)
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < busy_limit_s(6)
    assert not any(map(alive, workers))
    poll(lambda: viewer.ended, what="the client is disconnected")
    assert running.ctl("status").returncode == 7


def test_sigterm_ends_a_stopped_worker_too(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    pid = running.wait_state("mock", "running")["pid"]
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < busy_limit_s(6)
    assert not alive(pid)


def test_sigkill_of_the_supervisor_leaves_no_worker(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    with SlcanPort(tmp_path / "tty"):
        running = daemon(MOCK + slcan("a", tmp_path / "tty") + slcan("absent", tmp_path / "none"))
        running.wait_state("a", "running")
        running.wait_state("absent", "waiting")
        workers = [worker.pid for worker in running.workers()]
        assert len(workers) == 3
        running.kill()
        poll(lambda: not any(map(alive, workers)), busy_limit_s(5), "no worker is left")
        # The next daemon starts as usual.
        running.start()
        running.wait_state("a", "running")


def test_hung_worker_is_replaced(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK + "watchdog = 2\n")
    before = running.wait_state("mock", "running")
    os.kill(before["pid"], signal.SIGSTOP)
    poll(lambda: running.bus("mock")["restarts"] == 1, what="a new worker")
    after = running.wait_state("mock", "running")
    assert "sent no heartbeat" in after["last_error"]
    assert not alive(before["pid"])


def test_stop_start_and_restart_of_one_bus(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    before = running.wait_state("mock", "running")
    viewer = Client(before["port"])
    viewer.wait_frames(1)
    restarted = running.ctl("restart", "mock")
    assert (restarted.returncode, restarted.stdout) == (0, "mock: running\n")
    assert running.bus("mock")["pid"] != before["pid"]
    viewer.wait_more()
    stopped = running.ctl("stop", "mock")
    assert (stopped.returncode, stopped.stdout) == (0, "mock: stopped\n")
    poll(lambda: viewer.ended, what="its clients are disconnected")
    assert running.bus("mock")["pid"] is None
    assert running.ctl("status").returncode == 0, "a bus that was stopped on request is no problem"
    started = running.ctl("start", "mock")
    assert (started.returncode, started.stdout) == (0, "mock: running\n")
    assert running.bus("mock")["port"] == before["port"]
    unknown = running.ctl("start", "mokc")
    assert unknown.returncode == 1
    assert "there is no bus mokc. Did you mean mock? Buses: mock." in unknown.stderr


def test_automatic_ports_are_kept_across_restarts(daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    two = MOCK + MOCK.replace("bus.mock", "bus.more")
    running = daemon(two)
    ports = {name: running.wait_port(name) for name in ("mock", "more")}
    assert min(ports.values()) >= 42420
    running.stop()
    running.write(MOCK.replace("bus.mock", "bus.more") + MOCK.replace("bus.mock", "bus.new") + MOCK)
    running.start()
    again = {name: running.wait_port(name) for name in ("mock", "more", "new")}
    assert {name: again[name] for name in ports} == ports
    assert again["new"] not in ports.values()
    assert (tmp_path / "state" / "ports.toml").exists()


def test_ipv6_clients_are_served_too(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(MOCK)
    with Client(running.wait_port("mock"), host="::1") as viewer:
        viewer.wait_frames(2)
        clients = poll(lambda: running.bus("mock")["clients"], what="the client in the status")
        assert clients[0]["address"].startswith("[::1]:")
