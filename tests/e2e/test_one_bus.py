"""The ancestor's three commands, as real processes, with emulated adapters and real clients."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import psutil
import pytest

from cancorderd.protocol.packets import HEADER
from tests.support.harness import PATIENCE_S, ROOT, Client, free_port, poll
from tests.support.one_bus import OneBus, command_line, environment
from tests.support.slcan_thread import SlcanAdapter
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "tty"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def slcan(link: Path, *more: str) -> OneBus:
    return OneBus("canlogger", "-i", "slcan", "-c", str(link), *more)


def toucan(stage: Stage, *more: str, reads: bool = True) -> OneBus:
    env = environment(TOUCAN_STAGE=stage.file)
    return OneBus("rusoku_canlogger", "--library", stage.library, *more, env=env, reads=reads)


def counters(numbers: list[int]) -> None:
    assert numbers
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def worker_of(logger: OneBus) -> psutil.Process:
    (worker,) = poll(lambda: psutil.Process(logger.process.pid).children(), what="the worker")
    return worker


def test_ctrl_c_ends_with_statistics_of_all_frames(link: Path) -> None:
    with SlcanAdapter(link, rate=500), slcan(link, "-p", str(free_port())) as logger:
        port = logger.wait_port()
        viewers = [Client(port), Client(port)]
        viewers[0].wait_frames(300)
        viewers[0].close()
        viewers[1].wait_frames(600)
        logger.wait_line(r"\[server] Client \S+ left")
        assert logger.interrupt() == 0
        poll(lambda: viewers[1].ended)
        viewers[1].close()
        sent, dropped, size, received, *lost = logger.statistics()
        arrived = sum(len(viewer.frames) for viewer in viewers)
        # Frames on their way to the viewer that left were sent, too.
        assert 0 <= sent - arrived < 100
        assert (dropped, size, lost) == (0, 22 * sent, [0, 0])
        assert received >= len(viewers[1].frames)
        assert f"[init] TCP port: {port}, CAN bitrate: 500000" in logger.text
        assert f"[can] CAN bus opened: slcan {link} (version 1013, serial LAB1)" in logger.text
        assert "[exit] Shutting down..." in logger.text
        assert "\033" not in logger.text
    counters([int.from_bytes(frame.data[:4]) for frame in viewers[1].frames])


def test_tags_are_coloured_on_a_terminal_unless_no_color_is_set(link: Path) -> None:
    arguments = command_line("canlogger", "--no-zeroconf", "-i", "slcan", "-c", str(link), "-v")
    for no_color in (False, True):
        env = environment(**({"NO_COLOR": "1"} if no_color else {}), TERM="xterm")
        with SlcanAdapter(link, rate=100):
            terminal = pexpect.spawn(
                arguments[0], arguments[1:], cwd=str(ROOT), env=env, timeout=PATIENCE_S, encoding="utf-8"
            )
            try:
                terminal.expect(r"Clients can connect to port (\d+)")
                terminal.expect(r"# {4}5 ID=100 DLC=8 DATA=0000000\d00000000 -> 0 client\(s\)\r\n")
                text = str(terminal.before)
                assert ("\033[36m[can]\033[0m" in text) != no_color
                assert ("\033" in text) != no_color
                terminal.sendcontrol("c")
                terminal.expect(r"Shutting down\.\.\.")
                assert str(terminal.before).endswith("[exit] " if no_color else "[exit]\033[0m ")
                terminal.expect(r"Frames sent: 0, dropped: 0, bytes: 0")
                terminal.expect(r"Frames printed: \d+, not printed: 0")
                terminal.expect(pexpect.EOF)
                assert "Traceback" not in str(terminal.before)
                terminal.close()
                assert terminal.exitstatus == 0
            finally:
                terminal.close(force=True)


def test_ctrl_c_during_the_start_ends_in_good_order(link: Path) -> None:
    arguments = command_line("canlogger", "--no-zeroconf", "-i", "slcan", "-c", str(link))
    with SlcanAdapter(link):
        for expected in (r"\[init]", r"TCP port", r"\[can]"):
            terminal = pexpect.spawn(
                arguments[0], arguments[1:], cwd=str(ROOT), timeout=PATIENCE_S, encoding="utf-8"
            )
            terminal.expect(expected)
            terminal.sendcontrol("c")
            terminal.expect(pexpect.EOF)
            terminal.close()
            assert "Traceback" not in str(terminal.before), terminal.before
            assert "[stats]" in str(terminal.before)
            assert terminal.exitstatus == 0


def test_verbose_prints_every_frame_once_and_in_order(stage: Stage) -> None:
    stage[Word.RATE] = 9009
    with toucan(stage, "-v") as logger, Client(logger.wait_port()) as viewer:
        viewer.wait_frames(9009)
        assert logger.interrupt() == 0
        poll(lambda: viewer.ended)
        lines = logger.frames()
        *_, received, _, _, printed, missing = logger.statistics()
        assert (len(lines), missing) == (printed, 0)
        assert printed == received
        assert [int(line[1]) for line in lines] == list(range(1, received + 1))
        counters([int(line[4], 16) for line in lines])
        assert {line[5] for line in lines} == {"0", "1"}
        assert {line[2] for line in lines} == {"100", "18DA00F1"}
        counters([int.from_bytes(frame.data) for frame in viewer.frames])


def test_stuck_output_loses_printed_frames_only_and_counts_them(stage: Stage) -> None:
    wanted, port = 400_000, free_port()
    with toucan(stage, "-v", "-p", str(port), reads=False) as logger:
        poll(lambda: stage[Word.INITS], what="the bus is open")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as viewer:
            stage[Word.LIMIT] = wanted
            stage[Word.RATE] = -1
            # Nobody reads the pipe, which is full long before.
            left = 22 * wanted
            while left:
                data = viewer.recv(1 << 20)
                assert data
                left -= len(data)
        logger.start_reading()
        logger.wait_line(r"\[can] Output too slow: \d+ frames not printed \(clients still receive them\)\.")
        assert logger.interrupt() == 0
        sent, dropped, _, received, _, _, printed, missing = logger.statistics()
        assert (sent, dropped, received) == (wanted, 0, wanted), logger.text
        assert printed == len(logger.frames())
        assert printed + missing == received
        assert missing > 0
        numbers = [int(line[4], 16) for line in logger.frames()]
        assert numbers == sorted(set(numbers))


def test_command_ends_if_its_output_is_closed() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -n 60', "sh", *command_line("mock_uds_canlogger", "--no-zeroconf", "--async", "-v")],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 60
    assert "ID=" in done.stdout
    assert not done.stderr


def test_can_error_ends_neither_the_command_nor_clients_nor_printing(link: Path) -> None:
    with (
        SlcanAdapter(link, rate=200) as adapter,
        slcan(link, "-v") as logger,
        Client(logger.wait_port()) as viewer,
    ):
        viewer.wait_frames(100)
        adapter.command("unplug")
        logger.wait_line(r"\[can] CAN error, trying again: .*the adapter is gone")
        logger.wait_line(r"\[can] Waiting for the adapter: .*does not exist. Plug the adapter in")
        adapter.command("plug")
        logger.wait_line(r"\[can] CAN bus is open again")
        viewer.wait_frames(len(viewer.frames) + 100)
        assert not viewer.ended
        assert logger.interrupt() == 0
        poll(lambda: viewer.ended)
        assert logger.statistics()[0] == len(viewer.frames)
        data = [line[4].lower() for line in logger.frames()]
        assert logger.statistics()[-2:] == [len(data), 0]
        seen = [frame.data.hex() for frame in viewer.frames]
        assert data[data.index(seen[0]) :] == seen


def test_printing_continues_after_the_worker_is_killed(link: Path) -> None:
    with SlcanAdapter(link, rate=200), slcan(link, "-v") as logger:
        logger.wait_port()
        poll(lambda: len(logger.frames()) > 50)
        worker_of(logger).kill()
        logger.wait_line(r"CAN error, trying again: the worker was ended by signal 9")
        logger.wait_line(r"CAN bus is open again")
        before = len(logger.frames())
        poll(lambda: len(logger.frames()) > before + 50)
        assert logger.interrupt() == 0
        numbers = [int(line[1]) for line in logger.frames()]
        assert numbers == sorted(set(numbers))


def test_worker_ends_if_the_command_is_killed(link: Path) -> None:
    with SlcanAdapter(link), slcan(link) as logger:
        logger.wait_port()
        worker = worker_of(logger)
        logger.process.kill()
        worker.wait(PATIENCE_S)


def test_sigterm_ends_the_command_like_ctrl_c(link: Path) -> None:
    with SlcanAdapter(link), slcan(link) as logger:
        logger.wait_port()
        logger.process.send_signal(signal.SIGTERM)
        assert logger.wait() == 0
        assert "[stats] Frames sent: 0" in logger.text


def test_toucan_is_reopened_after_unplugging(stage: Stage) -> None:
    stage[Word.RATE] = 1000
    with toucan(stage, "-b", "250000") as logger, Client(logger.wait_port()) as viewer:
        assert stage[Word.INDEX] == -3
        assert "[can] CAN bus opened: toucan 0 (" in logger.text
        viewer.wait_frames(500)
        stage.unplug()
        logger.wait_line(r"\[can] Waiting for the adapter: there is no TouCAN channel 0")
        stage.plug()
        logger.wait_line(r"CAN bus is open again")
        viewer.wait_more()
        assert not viewer.ended


def test_toucan_fails_if_absent_at_the_start(stage: Stage) -> None:
    stage.unplug()
    with toucan(stage) as logger:
        assert logger.wait() == 1
        assert "there is no TouCAN channel 0" in logger.text
        assert "[error] No TouCAN adapter could be opened!" in logger.text
    with OneBus("rusoku_canlogger", "-l", "/nowhere/lib.dylib") as logger:
        assert logger.wait() == 1
        assert "/nowhere/lib.dylib: cannot open shared object file" in logger.text
    with OneBus("rusoku_canlogger", "-b", "800000") as logger:
        assert logger.wait() == 2
        assert (
            "Supported bitrates: 1000000, 500000, 250000, 125000, 100000, 50000, 20000, 10000" in logger.text
        )


def test_mock_starts_with_the_first_client_and_printing_does_not_count(tmp_path: Path) -> None:
    with OneBus("mock_uds_canlogger", "-v", "-s", "20", "--tester-id", "0x7E2", "--ecu-id", "2026") as logger:
        port = logger.wait_port()
        assert "Tester ID: 0x7E2, ECU ID: 0x7EA" in logger.text
        assert "Speed: 20.0x, Loop: True" in logger.text
        time_of_ready = time.monotonic()
        poll(lambda: time.monotonic() > time_of_ready + 1)
        assert not logger.frames(), "the printer started a session"
        with Client(port) as viewer:
            viewer.wait_frames(50)
            poll(lambda: len(logger.frames()) >= 50)
            first, *_ = logger.lines[[bool(re.search("ID=", line)) for line in logger.lines].index(True) :]
            assert re.search(r"#    1 TX ID=7E2 DLC=8 DATA=021003\w+ -> [01] client\(s\)", first)
            poll(lambda: logger.frames()[-1][5] == "1", what="the client in the lines")
            assert {0x7E2, 0x7EA} <= {frame.arbitration_id for frame in viewer.frames}
        assert any(" RX ID=7EA" in line for line in logger.lines)
        logger.wait_line(r"Client \S+ left")


def test_mock_async_runs_without_clients_and_no_loop_runs_once_for_each() -> None:
    with OneBus("mock_uds_canlogger", "-v", "--async") as logger:
        poll(lambda: len(logger.frames()) > 5)
        assert "Mode: async" in logger.text
    with OneBus("mock_uds_canlogger", "--no-loop", "-s", "200") as logger:
        for _ in range(2):
            with Client(logger.wait_port()) as viewer:
                poll(
                    lambda: frames_of(viewer, b"\x02\x51\x01"),
                    what="the answer to the reset, which ends a session",
                )
                poll(lambda: time.time() - viewer.arrivals_s[-1] > 0.5, what="nothing follows")
                assert len(frames_of(viewer, b"\x02\x51\x01")) == 1


def test_mock_starts_a_session_for_a_client_that_replaces_another() -> None:
    with (
        OneBus("mock_uds_canlogger", "--no-loop", "-s", "200") as logger,
        Client(logger.wait_port()) as first,
    ):
        poll(lambda: frames_of(first, b"\x02\x51\x01"), what="the end of a session")
        worker = worker_of(logger)
        worker.suspend()
        first.close()
        with Client(logger.wait_port()) as second:
            worker.resume()
            poll(lambda: frames_of(second, b"\x02\x51\x01"), what="the end of another session")


def frames_of(viewer: Client, begin: bytes) -> list[object]:
    return [frame for frame in list(viewer.frames) if frame.data.startswith(begin)]


def test_mock_with_29_bit_ids() -> None:
    with (
        OneBus("mock_uds_canlogger", "--tester-id", "0x18DA10F1", "--ecu-id", "0x18DAF110") as logger,
        Client(logger.wait_port()) as viewer,
    ):
        first = viewer.wait_frames(1)[0]
        assert (first.arbitration_id, first.flags & 1) == (0x18DA10F1, 1)


def test_ports_are_chosen_from_42420_and_not_remembered(tmp_path: Path) -> None:
    env = environment(HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path), TMPDIR=str(tmp_path))
    with OneBus("mock_uds_canlogger", env=env) as first, OneBus("mock_uds_canlogger", env=env) as second:
        ports = {first.wait_port(), second.wait_port()}
        assert len(ports) == 2
        assert all(42420 <= port < 43000 for port in ports)
        assert f"TCP port: {first.wait_port()} (auto)" in first.text
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, first.wait_port()), PATIENCE_S):
                pass
    assert not list(tmp_path.iterdir())


def test_port_in_use_is_reported_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with OneBus("mock_uds_canlogger", "-p", str(port)) as logger:
            assert logger.wait() == 1
            assert re.search(
                rf"\[error] port {port} is in use by .*End that program or choose another port", logger.text
            )


def test_absent_adapter_is_searched_for_then_reported(tmp_path: Path) -> None:
    with OneBus("canlogger", "-c", "can0") as logger:
        status = logger.wait()
        text = logger.text
        assert (
            "gs_usb adapters have numbers, so can0 is none of them. Trying the socketcan interface can0..."
            in text
        )
        assert "Trying auto-detection..." in text
        if not Path("/sys/class/net/can0").exists() and status:
            assert status == 1
            assert "[error] No CAN device found!" in text
            assert "Make sure you have a supported CAN adapter connected" in text
    with OneBus("canlogger", "-i", "slcan", "-c", str(tmp_path / "none")) as logger:
        assert "Failed to open CAN bus: " in logger.wait_line("does not exist. Plug the adapter in")


def test_interface_of_python_can_is_accepted() -> None:
    with OneBus("canlogger", "-i", "virtual", "-c", "0") as logger:
        logger.wait_port()
        assert "CAN bus opened: virtual 0" in logger.text


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("canlogger", ["-b", "5000000"], "argument --bitrate/-b: 5000000 is above 1000000. Use a rate such as"),
        ("canlogger", ["-p", "70000"], "argument --port/-p: 70000 is above 65535. Use a port such as 42420, or leave"),
        ("canlogger", ["-i", "socketkan"], 'argument --interface/-i: there is no interface "socketkan". Write "socketcan"'),
        ("canlogger", ["-i", "socketcan", "-c", "a-name-that-is-too-long"], "argument --channel/-c: "),
        ("canlogger", ["--service-name", "x" * 50], 'Write --service-name "ECUconnect-Logger my car".'),
        ("rusoku_canlogger", ["-c", "9"], "argument --channel/-c: 9 is above 7"),
        ("mock_uds_canlogger", ["-s", "0"], "argument --speed/-s: 0.0 is not above 0"),
        ("mock_uds_canlogger", ["--ecu-id", "x"], "argument --ecu-id: invalid arbitration_id value: 'x'"),
        ("mock_uds_canlogger", ["--ecu-id", "0x20000000"], "argument --ecu-id: 0x20000000 is above 0x1FFFFFFF"),
    ],
)  # fmt: skip
def test_mistakes_name_the_option(name: str, arguments: list[str], message: str) -> None:
    done = subprocess.run(
        command_line(name, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("usage: cancorder-")


@pytest.mark.parametrize("name", ["canlogger", "rusoku_canlogger", "mock_uds_canlogger"])
def test_help_has_examples_and_a_reasonable_size(name: str) -> None:
    done = subprocess.run(
        command_line(name, "--help"), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        env=environment(COLUMNS="110"),
    )  # fmt: skip
    assert "examples:" in done.stdout
    assert "%(prog)s" not in done.stdout
    assert len(done.stdout.splitlines()) < 75
    assert max(map(len, done.stdout.splitlines())) <= 112


def test_a_frame_goes_out_as_the_ancestor_packed_it(link: Path) -> None:
    with (
        SlcanAdapter(link) as adapter,
        slcan(link) as logger,
        Client(logger.wait_port(), reads=False) as viewer,
    ):
        logger.wait_line(r"Client \S+ connected")
        adapter.command("frame t12320102")
        packet = viewer.socket.recv(64)
        stamp_us, can_id, flags, length = HEADER.unpack_from(packet)
        assert abs(stamp_us / 1e6 - time.time()) < 60
        assert (can_id, flags, length, packet[HEADER.size :]) == (0x123, 0, 2, b"\x01\x02")
