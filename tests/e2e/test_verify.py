"""`cancorderctl verify` of mock buses, and of loggers that lose and damage frames."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.protocol.frame import FD, Frame
from cancorderd.protocol.packets import encode_all
from cancorderd.protocol.quality_frame import classic_payload, fd_payload
from cancorderd.python_command import python_command
from tests.support.harness import PATIENCE_S, ROOT, poll
from tests.support.scripted_logger import ScriptedLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.harness import Daemon

BUSES = """
[bus.classic]
interface = "mock"
pattern = "quality"
test_id = 7
rate = 3000
[bus.fd]
interface = "mock"
pattern = "quality"
fd = true
burst = 5
rate = 3000
[bus.numbers]
interface = "mock"
rate = 3000
[bus.other]
interface = "mock"
start = "always"
speed = 20
"""


def verify(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the status of `verify --json` and its answer."""
    done = subprocess.run(
        [*python_command("cancorderd.cli.cancorderctl"), "verify", *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


def test_streams_of_mock_buses_are_judged(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(BUSES)
    for bus in ("classic", "fd", "numbers"):
        running.wait_state(bus, "running")
        done = running.ctl("verify", bus, "--count", "1000", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        answer = json.loads(done.stdout)
        jitter = answer.pop("jitter_us")
        counts = ("received", "missing", "duplicated", "reordered", "corrupt", "clients_dropped")
        assert answer == dict.fromkeys(counts, 0) | {"received": 1000}
        assert list(jitter) == ["p50", "p99", "max"]
        assert jitter["p50"] is None if bus == "numbers" else 0 <= jitter["p50"] <= jitter["max"] <= 1000
    # By address, for a time.
    status, answer = verify(f"127.0.0.1:{running.wait_port('classic')}", "--seconds", "0.5", "--test-id", "7")
    assert status == 0
    assert answer["received"] > 0
    # The wrong id, the wrong test, and a bus without test frames.
    for arguments in (["classic", "--id", "0x701"], ["classic", "--test-id", "8"], ["other"]):
        done = running.ctl("verify", *arguments, "--seconds", "0.3")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (
            1,
            "Not all right: there was no test frame. Is a sender running, with this id?",
        )
    assert running.ctl("verify", "nothing").returncode == 1


def stream(sequences: Sequence[int], *, fd: bool) -> list[Frame]:
    frames = []
    for number in sequences:
        data = fd_payload(number, 1000 * number, 1, 64) if fd else classic_payload(number, 1000 * number, 1)
        frames.append(Frame(1_000_000 + 1000 * number, 0x700, FD if fd else 0, data))
    return frames


@pytest.mark.parametrize("fd", [False, True])
def test_what_a_bad_path_does_is_found(fd: bool) -> None:
    frames = stream([*range(10), 12, 12, 13, 11, 14], fd=fd)
    frames.insert(3, frames[2]._replace(data=frames[2].data[:-1] + b"\xff"))
    with ScriptedLogger(encode_all(frames)) as logger:
        status, answer = verify(f"127.0.0.1:{logger.port}", "--count", "16")
    assert status == 1
    found = tuple(answer[key] for key in ("received", "missing", "duplicated", "reordered", "corrupt"))
    assert found == (15, 2, 1, 1, 1)


def test_round_trips_are_measured_where_both_directions_are_on_the_bus() -> None:
    frames: list[Frame] = []
    for request in stream(range(20), fd=True):
        data = fd_payload(len(frames) // 2, 0, 1, 64, response=True)
        frames += [request, Frame(request.timestamp_us + 300, 0x701, FD, data)]
    with ScriptedLogger(encode_all(frames[:-1])) as logger:
        ids = ("--id", "0x700", "--response-id", "0x701")
        status, answer = verify(f"127.0.0.1:{logger.port}", *ids, "--count", "39")
    assert status == 0
    assert answer["received"] == 39
    assert answer["round_trip_us"] == {"p50": 300, "p99": 300, "max": 300}
    assert answer["unanswered"] == 1


def was_read(port: int) -> bool:
    """Return whether a client of this port has read all that was sent to it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
    return any(int(row[4].split(":")[1], 16) == 0 for row in established)


def test_ctrl_c_and_the_end_of_the_stream_end_with_the_judgement() -> None:
    with ScriptedLogger(encode_all(stream(range(50), fd=False))) as logger:
        place = f"127.0.0.1:{logger.port}"
        command = [*python_command("cancorderd.cli.cancorderctl"), "verify", place]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            poll(lambda: logger.served and was_read(logger.port), what="the frames are read")
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, output.splitlines()[0][:30]) in (
            (0, "0x700, classic, test 1: 50 rec"),
            (1, "Not all right: there was no te"),  # Ctrl+C came before the first frame was looked at
        )
        with subprocess.Popen(
            [*command, "--count", "80"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            poll(lambda: logger.served == 2, what="the second connection")
            logger.clients[1].close()
            output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "0x700, classic, test 1: 50 received, 0 missing, 0 duplicated, 0 reordered" in output
    assert "the stream ended after 50 of 80 test frames." in errors


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x:1", "--count", "5", "--seconds", "5"],
        ["x:1", "--count", "0"],
        ["x:1", "--seconds", "0"],
        ["x:1", "--id", "seven"],
        ["x:1", "--id", "0x20000000"],
        ["x:1", "--test-id", "256"],
        ["x:1", "--response-id", "0x701"],
        ["x:1", "--id", "0x700", "--response-id", "0x700"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert verify(*arguments)[0] == 2
