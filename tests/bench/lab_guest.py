"""The guest's half of `tests.bench.lab`: one gateway each on three vcan interfaces, and frames on one interface at a time.

The fourth interface has no reader: what frames on it cost is the price of sending. All programs run all the time, so
their idle work is in every window alike. Windows are measured by the host, which sees the machine's processor time to the
nanosecond; here, a process's processor time counts in ticks of 10 ms.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from cancorderd.protocol.packets import HEADER
from tests.bench.lab_windows import PROGRAMS, SERVERS, Plan, windows_of
from tests.lab.guest.interfaces import vcan
from tests.lab.guest.traffic import SocketcanSender
from tests.support.harness import PATIENCE_S, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUS = '[bus.car]\ninterface = "socketcan"\nchannel = "{}"\n'
_LOOK_EVERY_S = 0.1
_PACKET_BYTES = HEADER.size + 8
_PROFILE_FRAMES = 200
_PROFILE_RATE = 50
_PROFILE_LIMIT_S = 12
_STRACE_ROW = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", re.MULTILINE)


def main(folder: Path, plan: Plan) -> None:
    with ExitStack() as stack:
        for interface in PROGRAMS.values():
            stack.enter_context(vcan(interface))
        processes, clients = start_programs(stack, folder)
        sent_to: Counter[str] = Counter()
        senders = {
            name: stack.enter_context(SocketcanSender(interface)) for name, interface in PROGRAMS.items()
        }
        (folder / "windows").write_text("")
        for number, (program, rate) in enumerate(windows_of(plan)):
            with (folder / "windows").open("a") as file:
                window = send_during(senders[program], rate, folder, number)
                sent_to[program] += window.sent
                file.write(json.dumps(window._asdict()) + "\n")
        profile = {name: profiled(process, senders[name]) for name, process in processes.items()}
        (folder / "profile").write_text(json.dumps(profile))
        received, _ = clients.communicate(b"go\n", timeout=PATIENCE_S)
        counts = {
            name: {"sent": sent_to[name] + _PROFILE_FRAMES, "received": size // _PACKET_BYTES}
            for name, size in zip(SERVERS, json.loads(received), strict=True)
        }
        (folder / "frames").write_text(json.dumps(counts))
        (folder / "versions").write_text(json.dumps(versions(folder)))


def start_programs(stack: ExitStack, folder: Path) -> tuple[dict[str, int], subprocess.Popen[bytes]]:
    """Start every program; return the process of each that forwards frames, and the clients of those that serve."""
    temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    daemon = stack.enter_context(Daemon(temporary, _BUS.format(PROGRAMS["cancorderd"])))
    bus = daemon.wait_state("car", "running")
    command = [str(folder / "crates/bin/mcandump"), PROGRAMS["mcandump"], "--quiet", "--no-color", "--serve"]
    mcandump = started(stack, command).pid
    ports = [int(bus["port"]), poll(lambda: port_of(mcandump), what="mcandump listens")]
    processes = {"cancorderd": int(bus["pid"]), "mcandump": mcandump}
    processes["candump"] = started(stack, ["candump", PROGRAMS["candump"]]).pid
    command = [sys.executable, "-m", "tests.bench.napping_viewer", *map(str, ports)]
    clients = started(stack, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert clients.stdout
    assert clients.stdout.readline() == b"connected\n"
    return processes, clients


def started(stack: ExitStack, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, **{"stdout": subprocess.DEVNULL, **options})
    stack.callback(process.wait)
    stack.callback(process.send_signal, signal.SIGTERM)
    return process


def port_of(pid: int) -> int:
    for connection in psutil.Process(pid).net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            return int(connection.laddr.port)
    return 0


class Sent(NamedTuple):
    """Frames of a window, its time, and how much of that the machine was idle."""

    sent: int
    seconds: float
    idle_s: float


def send_during(sender: SocketcanSender, rate: float, folder: Path, number: int) -> Sent:
    """Send at a rate until the host has measured this window."""
    measured = folder / f"measured-{number}"
    (folder / f"begun-{number}").touch()
    sent, idle_s = 0, machine_idle_s()
    for passed_s in ticks(rate):
        due = int(passed_s * rate)
        while sent < due:
            sender.send(sent)
            sent += 1
        if measured.exists():
            break
    return Sent(sent, passed_s, machine_idle_s() - idle_s)


def machine_idle_s() -> float:
    return float(Path("/proc/uptime").read_text().split()[1])


def ticks(rate: float) -> Iterator[float]:
    """Yield the time that has passed, when the next frame is due and a few times a second at least."""
    began_s = time.monotonic()
    while True:
        passed_s = time.monotonic() - began_s
        yield passed_s
        next_s = (int(passed_s * rate) + 1) / rate if rate else passed_s + _LOOK_EVERY_S
        time.sleep(max(0.0, min(next_s - passed_s, _LOOK_EVERY_S)))


def profiled(pid: int, sender: SocketcanSender) -> dict[str, float]:
    """Return the system calls of a process for each frame, by name, at a rate that leaves time for strace(1)."""
    command = ["timeout", "-s", "INT", f"{_PROFILE_LIMIT_S}", "strace", "-c", "-f", "-p", str(pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        poll(
            lambda: "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text(), what="strace is attached"
        )
        sender.send_at_rate(_PROFILE_FRAMES, _PROFILE_RATE)
        _, text = strace.communicate(timeout=60)
    finally:
        strace.kill()
    calls = {name: int(count) for count, name in _STRACE_ROW.findall(text) if name != "total"}
    return {name: count / _PROFILE_FRAMES for name, count in calls.items()}


def versions(folder: Path) -> dict[str, str]:
    found = {"Linux of the lab": Path("/proc/sys/kernel/osrelease").read_text().strip()}
    commands = {
        "mcandump": [str(folder / "crates/bin/mcandump"), "--version"],
        "can-utils": ["dpkg-query", "-W", "-f", "${Version}", "can-utils"],
    }
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found[name] = (done.stdout.split() or ["unknown"])[-1]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Plan(*json.loads(sys.argv[2])))
