"""Every command of `cancorderctl` in a pipe: plain tables, JSON, logs, and quiet ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import can
import pytest

from tests.support.harness import PATIENCE_S, ROOT, Client, Daemon, free_port, poll
from tests.support.terminal import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

DBC = Path(__file__).parents[1] / "support/engine.dbc"
LOG = """\
(1700000000.000000) can0 123#10275001
(1700000000.001000) can0 18FEF100#007B00
(1700000000.002000) can0 1F0##1AABB
(1700000000.003000) can0 7FF#
"""
BUSES = """
[bus.flood]
interface = "mock"
rate = 500
start = "always"
port = {port}
[bus.drive]
interface = "replay"
file = "{log}"
loop = true
speed = 0.1
fd = true
[bus.off]
interface = "mock"
enabled = false
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "drive.log").write_text(LOG)
    with Daemon(folder, BUSES.format(log=folder / "drive.log", port=free_port())) as daemon:
        for name in ("flood", "drive"):
            daemon.wait_state(name, "running")
        yield daemon
    Client.close_all()


class Running:
    """A command whose output is read line by line."""

    def __init__(self, daemon: Daemon, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command_line(daemon, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl+C; return the exit status, the rest of the output, and the errors."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def as_json(daemon: Daemon, *arguments: str, status: int = 0) -> Any:
    done = daemon.ctl(*arguments)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_status_takes_at_most_150_ms_of_cpu_time(daemon: Daemon) -> None:
    """CPU time, which depends less on the machine's other work than time by the clock."""

    def spent_s() -> float:
        process = subprocess.Popen(command_line(daemon, "status"), stdout=subprocess.DEVNULL, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    poll(lambda: spent_s() <= 0.15, what="an answer within 150 ms of CPU time")


def test_status_has_no_colours(daemon: Daemon) -> None:
    output = daemon.ctl("status").stdout
    assert "\x1b" not in output
    assert output.splitlines()[2].split()[:3] == ["BUS", "STATE", "INTERFACE"]
    assert [bus["name"] for bus in as_json(daemon, "status", "--json")["buses"]] == ["flood", "drive", "off"]


def test_watch_prints_tables_or_json(daemon: Daemon) -> None:
    with Running(daemon, "status", "--watch", "--interval", "0.1", "flood") as watch:
        lines = [watch.line() for _ in range(9)]
        status, _, err = watch.interrupt()
    heads = [index for index, line in enumerate(lines) if line.startswith("cancorderd ")]
    assert heads == [0, 5]
    assert lines[4] == "\n", "no blank line between two tables"
    assert (status, err) == (0, "")
    with Running(daemon, "status", "--watch", "--json", "--interval", "0.1") as watch:

        def received() -> int:
            return int(json.loads(watch.line())["buses"][0]["frames"]["received"])

        first = received()
        poll(lambda: received() > first, what="a line with more frames")
        assert watch.interrupt()[0] == 0


def test_watch_ends_quietly_if_its_output_is_closed(daemon: Daemon) -> None:
    words = " ".join(command_line(daemon, "status", "--watch", "--interval", "0.1"))
    done = subprocess.run(
        ["sh", "-c", f"{words} | head -n 1"], capture_output=True, text=True, cwd=ROOT, timeout=30, check=True
    )
    assert done.stdout.startswith("cancorderd ")
    assert done.stderr == ""


def test_watch_continues_while_the_daemon_restarts(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path, '[bus.x]\ninterface = "mock"\n') as own,
        Running(own, "status", "--watch", "--json", "--interval", "0.1") as watch,
    ):
        first = json.loads(watch.line())["pid"]
        own.stop()
        assert watch.process.stderr
        assert watch.process.stderr.readline() == "cancorderctl: cancorderd is not running; waiting\n"
        own.start()
        poll(lambda: json.loads(watch.line())["pid"] != first, what="answers of the new daemon")
        assert watch.interrupt()[0] == 0


def test_start_stop_and_restart_in_json(daemon: Daemon) -> None:
    stopped = {"name": "flood", "state": "stopped", "reason": "", "done": True}
    assert as_json(daemon, "stop", "flood", "--json") == [stopped]
    assert as_json(daemon, "start", "flood", "--json")[0]["state"] == "running"
    assert [answer["name"] for answer in as_json(daemon, "restart", "--json", "flood", "drive")] == [
        "flood",
        "drive",
    ]


def test_reload_in_json(daemon: Daemon) -> None:
    text = daemon.file.read_text()
    try:
        answer = as_json(daemon, "reload", "--json", "--dry-run")
        assert answer["changes"][0] == {"bus": "flood", "kind": "unchanged", "keys": []}
        daemon.file.write_text(text.replace("rate = 500", "rate = -1"))
        assert "flood.rate" in as_json(daemon, "reload", "--json", status=1)["problems"][0]
    finally:
        daemon.file.write_text(text)


def test_check_in_json(daemon: Daemon, tmp_path: Path) -> None:
    good = as_json(daemon, "check", str(daemon.file), "--json")
    assert good == {"file": str(daemon.file), "buses": ["flood", "drive", "off"], "problems": []}
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[bus.x]\ninterface = "mock"\nrat = 1\n')
    answer = as_json(daemon, "check", str(wrong), "--json", status=1)
    assert len(answer["problems"]) == 1
    assert "bus.x.rat" in answer["problems"][0]


def test_completion_prints_scripts_and_names(daemon: Daemon) -> None:
    assert daemon.ctl("completion", "buses").stdout.split() == ["flood", "drive", "off"]
    for shell in ("bash", "zsh", "fish"):
        for program in ("cancorderctl", "cancorderd"):
            assert program in daemon.ctl("completion", shell, program).stdout


def test_dump_prints_candumps_lines(daemon: Daemon) -> None:
    with Running(daemon, "dump", "drive") as dump:
        lines = [dump.line() for _ in range(12)]
        assert dump.interrupt()[0] == 0
    at = next(index for index, line in enumerate(lines) if "18FEF100" in line)
    assert lines[at : at + 4] == [
        "  drive  18FEF100   [3]  00 7B 00\n",
        "  drive       1F0  [02]  AA BB\n",
        "  drive       7FF   [0] \n",
        "  drive       123   [4]  10 27 50 01\n",
    ]


def test_dump_writes_logs_for_python_can(daemon: Daemon, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    done = daemon.ctl("dump", "-L", "-n", "40", "drive", "flood")
    assert done.returncode == 0, done.stderr
    log.write_text(done.stdout)
    with can.LogReader(log) as reader:
        messages = list(reader)
    assert len(messages) == 40
    assert {message.channel for message in messages} <= {"drive", "flood"}
    switched = [message for message in messages if message.arbitration_id == 0x1F0]
    assert all(
        message.is_fd and message.bitrate_switch and message.data == b"\xaa\xbb" for message in switched
    )
    assert all(abs(message.timestamp - time.time()) < 60 for message in messages)


def test_dump_of_several_sources(daemon: Daemon) -> None:
    with Running(daemon, "dump", "drive", "flood", f"localhost:{daemon.bus('flood')['port']}") as dump:
        names: set[str] = set()
        deadline_s = time.monotonic() + PATIENCE_S
        # As fast as they come: a source that starts late is behind thousands of lines of the others.
        while len(names) < 3 and time.monotonic() < deadline_s:
            names.add(dump.line().split()[0])
        dump.interrupt()
    assert {"drive", "flood"} < names
    assert len(names) == 3


def test_dump_filters(daemon: Daemon) -> None:
    lines = daemon.ctl("dump", "drive,7FF:7FF,123:C00007FF", "-n", "4").stdout.splitlines()
    assert {line.split()[1] for line in lines} == {"123", "7FF"}


def test_dump_decodes(daemon: Daemon) -> None:
    done = daemon.ctl("dump", "drive", "-n", "4", "--decode", str(DBC))
    lines = sorted(line.split(maxsplit=1)[1].strip() for line in done.stdout.splitlines())
    assert sorted(line.partition(" :: ")[2] for line in lines) == [
        "",
        "",
        "Engine(Speed: 2500.0 rpm, Temperature: 40 °C, Gear: First)",
        "Sensors(Which: 0, Voltage: 12.3 V)",
    ]
    frames = daemon.ctl("dump", "drive", "-n", "4", "--decode", str(DBC), "--json").stdout.splitlines()
    engine = next(frame for frame in map(json.loads, frames) if frame["id"] == 0x123)
    assert abs(engine.pop("time") - time.time()) < 60
    assert engine == {
        "bus": "drive", "id": 0x123, "extended": False, "fd": False, "brs": False, "esi": False, "data": "10275001",
        "message": "Engine",
        "signals": {"Speed": {"value": 2500.0, "unit": "rpm"}, "Temperature": {"value": 40, "unit": "°C"},
                    "Gear": {"value": 1, "name": "First"}},
    }  # fmt: skip


def test_dump_ends_quietly_if_its_output_is_closed(daemon: Daemon) -> None:
    words = " ".join(command_line(daemon, "dump", "flood"))
    done = subprocess.run(
        ["sh", "-c", f"{words} | head -n 3"], capture_output=True, text=True, cwd=ROOT, timeout=30, check=True
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (3, "")


def test_dump_ends_with_the_stream(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path, '[bus.x]\ninterface = "mock"\nrate = 500\n') as own,
        Running(own, "dump", "x") as dump,
    ):
        assert dump.line().startswith("  x  100   [8] ")
        assert own.ctl("restart", "x").returncode == 0
        assert dump.line().startswith("  x  100   [8] "), "the restart ended the dump"
        own.stop()
        _, err = dump.process.communicate(timeout=20)
        assert dump.process.returncode == 1
        assert "the server ended the stream" in err


def test_dump_with_reconnect_outlives_the_daemon(tmp_path: Path) -> None:
    slow = f'[bus.x]\ninterface = "mock"\nrate = 10\nport = {free_port()}\n'  # a pipe that nobody reads never fills
    with Daemon(tmp_path, slow) as own, Running(own, "dump", "x", "--reconnect") as dump:
        assert dump.line().startswith("  x  100   [8] ")
        own.stop()
        assert dump.process.stderr
        errors = iter(dump.process.stderr.readline, "")
        assert any("x is gone: " in line for line in errors)
        own.start()
        assert any(line.endswith(": x is back.\n") for line in errors)
        assert dump.interrupt()[0] == 0


def test_dump_sums_up(daemon: Daemon) -> None:
    header, row = daemon.ctl("dump", "flood", "--summary", "-n", "50").stdout.splitlines()
    assert header.split() == ["BUS", "ID", "COUNT", "RATE", "FIRST", "LAST"]
    assert row.split()[:3] == ["flood", "100", "50"]
    rows = [
        json.loads(line)
        for line in daemon.ctl("dump", "drive", "--summary", "--json", "-n", "50").stdout.splitlines()
    ]
    assert sum(row["count"] for row in rows) == 50
    late = daemon.ctl("dump", "drive,123~1FFFFFFF,123:7FF,j", "--summary", "-n", "9", "--timeout", "0.2")
    assert late.returncode == 1
    assert "0 of 9 frames came in time." in late.stderr
    assert daemon.ctl("dump", "flood", "--summary", "-L").returncode == 2


def test_dump_has_colours_if_it_is_told_to(daemon: Daemon) -> None:
    assert "\x1b" not in daemon.ctl("dump", "flood", "-n", "1").stdout
    assert daemon.ctl("dump", "flood", "-n", "1", "--color", "always").stdout.startswith("\x1b[")


def test_dump_reports_missing_frames_if_its_output_is_slow(tmp_path: Path) -> None:
    flood = '[bus.x]\ninterface = "mock"\nrate = 20_000\nclient_backlog = 65536\n'
    with Daemon(tmp_path, flood) as own, Running(own, "dump", "x") as dump:
        assert dump.line()

        def dropped() -> int:
            clients = own.bus("x")["clients"]
            return int(clients[0]["frames_dropped"]) if clients else 0

        poll(dropped, 60, "frames dropped for a dump with a stuck output")
        dump.process.send_signal(signal.SIGINT)
        _, err = dump.process.communicate(timeout=20)
        assert dump.process.returncode == 0
        assert "frames are missing: they came faster than they could be written." in err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("flod", "there is no bus flod. Did you mean flood? Buses: flood, drive, off."),
        ("off", "off is disabled: it has no port. Start it: cancorderctl start off"),
        ("flood,12", '"12" is not a filter. Write ID:MASK in hexadecimal'),
        ("host:port", '"host:port" names no logger. Write HOST:PORT'),
        ("zeroconf:", "names no logger"),
    ],
)
def test_dump_reports_mistakes(daemon: Daemon, source: str, message: str) -> None:
    done = daemon.ctl("dump", source)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_dump_by_address_needs_no_daemon(daemon: Daemon, tmp_path: Path) -> None:
    alone = Daemon(tmp_path, "")
    done = alone.ctl("dump", f"127.0.0.1:{daemon.bus('flood')['port']}", "-n", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("  127.0.0.1:")
    done = alone.ctl("dump", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "nothing listens there" in done.stderr
    assert alone.ctl("dump", "flood").returncode == 7


def test_dump_reaches_a_bus_that_listens_on_one_address(tmp_path: Path) -> None:
    with Daemon(tmp_path, '[bus.x]\ninterface = "mock"\nrate = 500\nlisten = ["127.0.0.2"]\n') as own:
        own.wait_state("x", "running")
        assert own.ctl("dump", "x", "-n", "1").stdout.startswith("  x  100")


def test_every_command_explains_how_to_start_the_daemon(tmp_path: Path) -> None:
    alone = Daemon(tmp_path, "")
    commands = (
        ["status"],
        ["clients"],
        ["events"],
        ["reload"],
        ["start", "x"],
        ["dump", "x"],
        ["completion", "buses"],
    )
    for words in commands:
        done = alone.ctl(*words)
        assert (done.returncode, done.stdout) == (7, "")
        assert "sudo systemctl start cancorderd" in done.stderr
        assert "cancorderd --demo" in done.stderr


def test_dump_ends_after_a_time_and_fails_if_frames_are_missing_then(daemon: Daemon) -> None:
    assert daemon.ctl("dump", "flood", "-n", "3", "--timeout", "60").returncode == 0
    missing = daemon.ctl("dump", "flood,123:7FF", "-n", "1", "--timeout", "0.5")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "0 of 1 frames came in time" in missing.stderr
    assert daemon.ctl("dump", "flood", "--timeout", "0.5").returncode == 0


def test_dump_ends_after_a_silence(daemon: Daemon) -> None:
    silent = daemon.ctl("dump", "flood,123:7FF", "-T", "300")
    assert (silent.returncode, silent.stdout) == (0, "")
    with Running(daemon, "dump", "flood", "-T", "60000") as dump:
        assert dump.line()
        assert dump.process.poll() is None
        assert dump.interrupt()[0] == 0
