"""Faults of the supervisor, and its end in the middle of something; `tests/lab/guest/test_faults_supervisor.py` has systemd."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from cancorderd.control.client import ControlClient, ControlError
from tests.faults.daemon_lives import Lives, session
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.harness import PATIENCE_S, ROOT, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Daemon

RATE = 1000
WATCHDOG_S = 2
"""Seconds without a heartbeat after which the supervisor ends a worker."""
FROZEN_S = 3.0
BACK_WITHIN_S = 5.0
"""From the fault to the next frame, on an idle machine."""
START_S = 1.5
"""Time in which a daemon starts, until its bus runs."""
REFUSED = "another cancorderd"
WATCHED = "[bus.a]\n"
CHANGE = "max_clients = 30\n"
MORE = '[bus.more]\ninterface = "mock"\nspeed = 20\nstart = "always"\n'


def killed(folder: Path, scale: Scale) -> Row:
    """SIGKILL: the workers end in order by themselves, and the next daemon goes on."""
    row = Row(times=scale.of(2, 20))
    dice = random.Random(1)
    with SlcanBus(folder, rate=RATE) as bus:
        lives = Lives(bus, row)
        for _ in range(row.times):
            time.sleep(dice.uniform(0.1, 0.5))
            lives.note_losses()
            fault_s = time.monotonic()
            lives.kill()
            lives.start()
            row.recoveries_s.append(bus.wait_flow() - fault_s)
        finish(row, lives)
    row.note = "the drill starts the next daemon at once; systemd takes half a second longer"
    return row


def stopped(folder: Path, scale: Scale) -> Row:
    """SIGSTOP of the supervisor alone, for longer than the watchdog of its worker: frames flow on."""
    row = Row(times=scale.of(1, 10))
    with SlcanBus(folder, rate=RATE, keys=f"watchdog = {WATCHDOG_S}") as bus:
        lives = Lives(bus, row)
        worker = bus.pid
        for _ in range(row.times):
            os.kill(lives.leader, signal.SIGSTOP)
            end_s = time.monotonic() + FROZEN_S
            try:
                while time.monotonic() < end_s:
                    asked_s = time.monotonic()
                    row.recoveries_s.append(bus.wait_flow() - asked_s)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(lives.leader, signal.SIGCONT)
            poll(bus.daemon.answers, what="the answer of the daemon")
        # A check is due each second: a worker that is taken for hung would be ended by then.
        time.sleep(WATCHDOG_S)
        row.expect(bus.pid == worker, "the worker was restarted")
        row.expect(bus.seen.connections == 1, "the viewer was disconnected")
        finish(row, lives)
    return row


def frozen(folder: Path, scale: Scale) -> Row:
    """All processes stop, and go on in an arbitrary order, as in a frozen cgroup or a machine that sleeps."""
    row = Row(times=scale.of(1, 10))
    dice = random.Random(2)
    with SlcanBus(folder, rate=RATE, keys=f"watchdog = {WATCHDOG_S}") as bus:
        lives = Lives(bus, row)
        worker = bus.pid
        for _ in range(row.times):
            processes = session(lives.leader)
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(FROZEN_S)
            dice.shuffle(processes)
            thawed_s = time.monotonic()
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
                time.sleep(dice.uniform(0, 0.3))
            row.recoveries_s.append(bus.wait_flow() - thawed_s)
            poll(bus.daemon.answers, what="the answer of the daemon")
        time.sleep(WATCHDOG_S)
        row.expect(bus.pid == worker, "the worker was restarted")
        row.expect(bus.seen.connections == 1, "the viewer was disconnected")
        finish(row, lives)
    row.note = "the adapter has no room meanwhile, so that it sends nothing"
    return row


def ended_in_the_middle(
    begin: Callable[[Daemon, int], object], latest_s: float
) -> Callable[[Path, Scale], Row]:
    """Return a drill: `begin` something (its argument counts up), and send SIGTERM within `latest_s`."""

    def drill(folder: Path, scale: Scale) -> Row:
        row = Row(times=scale.of(3, 50))
        dice = random.Random(row.times)
        with SlcanBus(folder, rate=RATE) as bus:
            lives = Lives(bus, row)
            for time_of in range(row.times):
                lives.note_losses()
                requests = threading.Thread(target=begin, args=(bus.daemon, time_of), daemon=True)
                requests.start()
                time.sleep(latest_s * (time_of + dice.random()) / row.times)
                fault_s = time.monotonic()
                lives.terminate()
                requests.join(PATIENCE_S)
                row.expect(not requests.is_alive(), "a request hangs")
                lives.start()
                row.recoveries_s.append(bus.wait_flow() - fault_s)
            finish(row, lives)
        return row

    return drill


def reload(daemon: Daemon, count: int) -> None:
    """Reload with a bus more or less; every other time, the watched bus is changed and so restarted, too."""
    buses = daemon.file.read_text().replace(MORE, "").replace(CHANGE, "")
    if count % 4 < 2:
        buses = buses.replace(WATCHED, WATCHED + CHANGE)
    daemon.file.write_text(buses + (MORE if count % 2 == 0 else ""))
    with contextlib.suppress(ControlError):
        ControlClient(str(daemon.socket)).reload()


def restart(daemon: Daemon, _count: int) -> None:
    """Restart the bus: its viewer is in the hands of the supervisor for a moment."""
    with contextlib.suppress(ControlError):
        ControlClient(str(daemon.socket)).control("a", "restart")


def ended_while_it_starts(folder: Path, scale: Scale) -> Row:
    """SIGTERM at any moment from the execution of the command until the bus runs."""
    row = Row(times=scale.of(4, 60))
    dice = random.Random(4)
    with SlcanBus(folder, rate=RATE) as bus:
        lives = Lives(bus, row)
        for time_of in range(row.times):
            if time_of == 0:
                lives.note_losses()
                lives.terminate()
            begun = begin(bus.daemon)
            time.sleep(START_S * (time_of + dice.random()) / row.times)
            bus.daemon.process = begun
            lives.terminate()
        fault_s = time.monotonic()
        lives.start()
        row.recoveries_s.append(bus.wait_flow() - fault_s)
        finish(row, lives)
    return row


def two_daemons(folder: Path, scale: Scale) -> Row:
    """Further daemons with the same file end with the reason; of several that start at once, one serves."""
    row = Row(times=scale.of(4, 40))
    with SlcanBus(folder, rate=RATE) as bus:
        lives = Lives(bus, row)
        worker = bus.pid
        others = [begin(bus.daemon) for _ in range(row.times // 2)]
        expect_refusals(row, others, bus.daemon)
        row.expect(bus.pid == worker and bus.seen.connections == 1, "the daemon that runs was disturbed")
        lives.note_losses()
        lives.terminate()
        fault_s = time.monotonic()
        others = [begin(bus.daemon) for _ in range(row.times - row.times // 2)]
        poll(
            lambda: sum(other.poll() is None for other in others) == 1 and bus.daemon.socket.exists(),
            what="one daemon is left",
        )
        (bus.daemon.process,) = [other for other in others if other.poll() is None]
        poll(bus.daemon.answers, what="the answer of the daemon")
        bus.daemon.wait_state("a", "running")
        row.recoveries_s.append(bus.wait_flow() - fault_s)
        expect_refusals(row, [other for other in others if other is not bus.daemon.process], bus.daemon)
        finish(row, lives)
    return row


def begin(daemon: Daemon) -> subprocess.Popen[bytes]:
    """Execute the command of the daemon, without waiting for it."""
    with daemon.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cancorderd.cli.cancorderd", "-c", str(daemon.file)],
            stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
        )  # fmt: skip


def expect_refusals(row: Row, others: list[subprocess.Popen[bytes]], daemon: Daemon) -> None:
    statuses = [other.wait(PATIENCE_S) for other in others]
    row.expect(statuses == [1] * len(others), f"exit statuses {statuses} of daemons that are one too many")
    reasons = daemon.log.read_text().count(REFUSED)
    row.expect(reasons >= len(others), f"{reasons} reasons in the log for {len(others)} daemons too many")
    row.expect(not any(session(other.pid) for other in others), "such a daemon leaves processes")


def finish(row: Row, lives: Lives) -> None:
    """Add the account and the faults of the streams."""
    row.accounts.append(lives.account())
    row.mistakes += lives.bus.seen.mistakes()
    limit_s = busy_limit_s(BACK_WITHIN_S)
    late = [round(took_s, 1) for took_s in row.recoveries_s if took_s > limit_s]
    row.expect(not late, f"frames came back after {late} s")
    row.expect(not lives.bus.seen.cut, f"{lives.bus.seen.cut} streams end within a packet")


DRILLS = (
    Drill("killed", "the supervisor gets SIGKILL", killed),
    Drill("stopped", "the supervisor gets SIGSTOP, 3 s later SIGCONT", stopped),
    Drill("frozen", "all processes are frozen for 3 s and thawed", frozen),
    Drill("ended-in-start", "SIGTERM while the daemon starts", ended_while_it_starts),
    Drill("ended-in-reload", "SIGTERM while it reloads", ended_in_the_middle(reload, 0.5)),
    Drill(
        "ended-in-restart",
        "SIGTERM while a bus restarts, with its clients handed over",
        ended_in_the_middle(restart, 0.3),
    ),
    Drill("two-daemons", "more daemons with the same configuration", two_daemons),
)
