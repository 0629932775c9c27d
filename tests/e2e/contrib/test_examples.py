"""The clients of contrib/examples print every frame, and end as documented."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import can
import pytest

from cancorderd.protocol.frame import BRS, DLC_LENGTHS, ESI, EXTENDED, FD, MAX_EXTENDED_ID, Frame
from cancorderd.protocol.packets import encode_all
from tests.e2e.contrib.examples import NAMES, command, line, stand_in_a_row
from tests.e2e.contrib.recordings import write_every_kind
from tests.support.harness import ROOT, Client, Daemon, free_port, poll
from tests.support.network_namespace import run_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAMPS_US = (0, 999_999, 1_700_000_000_000_001, (1 << 64) - 1)
FRAMES = [
    *(Frame(stamp_us, 0x7E8, 0, b"\x02\x10\x03") for stamp_us in STAMPS_US),
    *(Frame(1_700_000_000_123_456, 0, flags, b"\xa5") for flags in (0, EXTENDED, FD, FD | BRS, FD | ESI, 15)),
    *(Frame(1_700_000_000_123_456, MAX_EXTENDED_ID, EXTENDED | FD, bytes(range(n))) for n in DLC_LENGTHS),
]
BYTES = encode_all(FRAMES)


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return command(request.param, tmp_path)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@contextlib.contextmanager
def server(*sends: bytes, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve these bytes to one client, each with a separate send, and end the stream. Yields the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, contextlib.suppress(ConnectionError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for data in sends:
                    client.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(listening.getsockname()[1])
        thread.join(20)


def test_every_example_prints_the_frames_of_the_demo() -> None:
    done = run_module("tests.e2e.contrib.examples_against_demo")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_frame_is_printed_as_it_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    count = write_every_kind(log)
    bus = f'[bus.tape]\ninterface = "replay"\nfile = "{log}"\nloop = true\n'
    with Daemon(tmp_path, bus) as daemon:
        port = daemon.wait_port("tape")
        with Client(port) as reference:
            for name in NAMES:
                done = run(*command(name, tmp_path), "127.0.0.1", str(port), str(count))
                assert (done.returncode, done.stderr) == (0, ""), name
                printed = done.stdout.splitlines()
                assert len(printed) == count
                poll(lambda: stand_in_a_row(printed, list(reference.frames)), what=f"the lines of {name}")  # noqa: B023


def test_the_lines_are_those_of_a_candump_log(tmp_path: Path) -> None:
    frames = [frame for frame in FRAMES if frame.timestamp_us < 1 << 53]
    log = tmp_path / "candump.log"
    log.write_text("".join(line(frame).replace(") ", ") can0 ") + "\n" for frame in frames))
    read = list(can.CanutilsLogReader(log))
    assert [
        Frame(
            round(message.timestamp * 1_000_000),
            message.arbitration_id,
            EXTENDED * message.is_extended_id
            + FD * message.is_fd
            + BRS * message.bitrate_switch
            + ESI * message.error_state_indicator,
            bytes(message.data),
        )
        for message in read
    ] == frames


@pytest.mark.parametrize("size", [1, 13, 14, 61, len(BYTES)])
def test_packets_may_be_cut_anywhere_and_the_end_of_the_stream_is_no_error(
    example: list[str], size: int
) -> None:
    with server(*(BYTES[start : start + size] for start in range(0, len(BYTES), size))) as port:
        done = run(*example, "127.0.0.1", port)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [line(frame) for frame in FRAMES]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_example_ends_after_count_frames(example: list[str], count: int) -> None:
    with server(BYTES) as port:
        done = run(*example, "127.0.0.1", port, str(count))
        if count == 0:
            socket.create_connection(("127.0.0.1", int(port))).close()  # if the example never connected
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [line(frame) for frame in FRAMES[:count]]


@pytest.mark.parametrize("cut", [1, 13, 15])
def test_a_stream_that_ends_within_a_packet_is_an_error(example: list[str], cut: int) -> None:
    with server(BYTES + BYTES[:cut]) as port:
        done = run(*example, "127.0.0.1", port)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == len(FRAMES)
    assert "within a packet" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_protocol_is_an_error(example: list[str]) -> None:
    with server(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n" * 9) as port:
        done = run(*example, "127.0.0.1", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_failed_connection_is_an_error(example: list[str], host: str) -> None:
    port = str(free_port())
    done = run(*example, host, port)
    assert (done.returncode, done.stdout) == (1, "")
    assert host in done.stderr
    assert port in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ipv6_addresses_are_accepted(example: list[str]) -> None:
    with server(BYTES, address="::1") as port:
        done = run(*example, "::1", port, "3")
    assert done.stdout.splitlines() == [line(frame) for frame in FRAMES[:3]]


@pytest.mark.parametrize("words", [[], ["localhost"], ["localhost", "1", "2", "3"]], ids=len)
def test_wrong_usage_prints_the_usage(example: list[str], words: list[str]) -> None:
    done = run(*example, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "HOST PORT [COUNT]" in done.stderr


def test_lines_are_flushed_into_a_pipe_and_ctrl_c_ends_an_example_silently(example: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        process = subprocess.Popen(
            [*example, "127.0.0.1", port], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            client, _ = listening.accept()
            with client:
                client.sendall(BYTES)
                assert process.stdout
                assert process.stdout.readline() == line(FRAMES[0]) + "\n"
                process.send_signal(signal.SIGINT)
                _, complaints = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == -signal.SIGINT
    assert complaints == ""


def test_a_closed_pipe_ends_an_example_silently(example: list[str]) -> None:
    reader, writer = os.pipe()
    with server(*[BYTES] * 3000) as port:
        process = subprocess.Popen(
            [*example, "127.0.0.1", port], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True
        )
        os.close(writer)
        os.read(reader, 100)
        os.close(reader)
        _, complaints = process.communicate(timeout=60)
    assert complaints == ""
