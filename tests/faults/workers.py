"""Faults of a worker: what kills it, stops it, or takes away what it needs."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.faults.staged_buses import staged_buses
from tests.faults.staged_driver import EXCEPTIONS
from tests.support.descriptors import limited
from tests.support.harness import ROOT, Client, alive, poll, wait_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.staged_buses import StagedBus
    from tests.faults.watched_bus import WatchedBus

_FORGOTTEN_S = 4.5
"""Until the reports of an earlier rate count no more (`loss_estimate`), with a report and a busy machine."""
OTHER = '[bus.other]\ninterface = "mock"\nrate = 100\nstart = "always"\n'
"""A bus beside the broken one, which it must not cost anything."""


@contextlib.contextmanager
def undisturbed(bus: WatchedBus, row: Row) -> Iterator[None]:
    """Expect the bus `other` to keep its worker and its client, and to lose nothing."""
    worker = bus.daemon.wait_state("other", "running")["pid"]
    with Client(bus.daemon.bus("other")["port"]) as client:
        client.wait_frames(1)
        yield
        client.wait_more()
        numbers = [int.from_bytes(frame.data) for frame in list(client.frames)]
    whole = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    row.expect(whole, "the bus beside it lost frames")
    row.expect(bus.daemon.bus("other")["pid"] == worker, "the bus beside it lost its worker")


def finish(row: Row, bus: WatchedBus) -> None:
    """Take the account of a bus into the row."""
    row.accounts.append(bus.account())
    row.mistakes += bus.seen.mistakes()


def killed(folder: Path, scale: Scale) -> Row:
    """SIGKILL while frames flow. The account has the frames that the worker took along as unknown."""
    row = Row(times=scale.of(3, 20))
    with SlcanBus(folder, rate=1000, more_buses=OTHER) as bus, undisturbed(bus, row):
        for _ in range(row.times):
            bus.wait_rate()
            worker = bus.pid
            fault_s = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            wait_end(worker)
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            bus.forget_faults()
        finish(row, bus)
        row.expect(
            bus.seen.connections == row.times + 1,
            f"{bus.seen.connections} connections for {row.times} kills",
        )
    return row


def in_parallel(row: Row, run: Callable[[StagedBus], object], buses: Sequence[StagedBus]) -> None:
    """Call `run` for each bus, in a thread each; an assertion that fails is noted with the name of its bus."""

    def run_noted(bus: StagedBus) -> None:
        with noted(row, bus.name):
            run(bus)

    threads = [threading.Thread(target=run_noted, args=(bus,)) for bus in buses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def rates_vary(folder: Path, scale: Scale) -> Row:
    """SIGKILL of a worker that has no rate yet, then of workers whose bus has just become busy."""
    quiet, kills = 20, scale.of(2, 20)
    row = Row(note=f"from {quiet} to 400 frames/s within the second before the worker is killed")

    def break_one(bus: StagedBus) -> None:
        chance = random.Random(bus.name)
        for turn in range(kills):
            if turn:
                bus.stage.set_rate(quiet)
                forgotten_s = time.monotonic() + _FORGOTTEN_S
                poll(lambda end_s=forgotten_s: time.monotonic() > end_s)  # type: ignore[misc]
                bus.send(chance.randint(100, 400))
                kill_s = time.monotonic() + chance.uniform(0, 1)
                poll(lambda end_s=kill_s: time.monotonic() > end_s)  # type: ignore[misc]
            worker = bus.pid
            fault_s = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            wait_end(worker)
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            row.times += 1
            poll(lambda: bus.status()["frames"]["per_second"] > 0.8 * bus.stage.rate, what="the rate after")

    with staged_buses(folder, [f"b{number}" for number in range(4)], rate=200) as buses:
        in_parallel(row, break_one, buses)
        for bus in buses:
            finish(row, bus)
    # After each crash, the estimate may be a second's frames too high.
    row.accounts = [replace(account, rate=kills * account.rate) for account in row.accounts]
    return row


def paused(folder: Path, scale: Scale) -> Row:
    """SIGSTOP for less than the watchdog, as by a debugger: the worker goes on, and nothing is lost."""
    row = Row(times=scale.of(3, 20))
    with SlcanBus(folder, rate=100, keys="watchdog = 10", more_buses=OTHER) as bus, undisturbed(bus, row):
        worker = bus.pid
        for _ in range(row.times):
            os.kill(worker, signal.SIGSTOP)
            mark = bus.sent
            try:
                poll(lambda seen=mark: bus.sent > seen + 150, what="frames that wait")  # type: ignore[misc]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)
            end_s = time.monotonic()
            row.recoveries_s.append(bus.wait_flow() - end_s)
        row.expect(bus.pid == worker, "a standstill below the watchdog has cost the worker")
        finish(row, bus)
        row.expect(bus.seen.connections == 1, "the client was disconnected")
        row.expect(not row.lost, "frames are counted as lost")
    return row


def hung(folder: Path, scale: Scale) -> Row:
    """SIGSTOP for good: the watchdog ends the worker."""
    row = Row(times=scale.of(1, 10), note="watchdog = 2; by default it is 10 s")
    with SlcanBus(folder, rate=100, keys="watchdog = 2", more_buses=OTHER) as bus, undisturbed(bus, row):
        for _ in range(row.times):
            bus.wait_rate()
            worker = bus.pid
            fault_s = time.monotonic()
            os.kill(worker, signal.SIGSTOP)
            wait_end(worker)
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            row.expect("no heartbeat" in bus.status()["last_error"], "the reason is not shown")
            bus.forget_faults()
        finish(row, bus)
    return row


def exceptions(folder: Path, scale: Scale) -> Row:
    """Each kind of exception in a source. The worker ends in order, so that no frame is unknown."""
    lanes = 4
    row = Row(times=scale.of(1, 5) * len(EXCEPTIONS))
    with staged_buses(folder, [f"b{number}" for number in range(lanes)], rate=500) as buses:

        def break_all(bus: StagedBus) -> None:
            for fault in list(EXCEPTIONS)[buses.index(bus) :: lanes]:
                with noted(row, fault):
                    break_with(bus, fault, row)

        for _ in range(scale.of(1, 5)):
            in_parallel(row, break_all, buses)
        for bus in buses:
            finish(row, bus)
        row.expect(not row.lost, "frames of a worker that ends in order are counted as lost")
    return row


@contextlib.contextmanager
def noted(row: Row, fault: str) -> Iterator[None]:
    """Take note of an assertion that fails in a thread."""
    try:
        yield
    except AssertionError as error:
        row.mistakes.append(f"{fault}: {error}")


def break_with(bus: StagedBus, fault: str, row: Row) -> None:
    """Order a fault of the driver, and wait until another worker serves the bus."""
    worker = bus.pid
    fault_s = time.monotonic()
    bus.stage.order(fault)
    wait_end(worker)
    row.recoveries_s.append(bus.wait_flow() - fault_s)
    reason = bus.status()["last_error"]
    row.expect(bool(reason) and len(reason) < 2000, f"{fault}: the reason is {reason!r:.80}")


def stuck(folder: Path, scale: Scale) -> Row:
    """A thread that never returns from a C call, with and without the interpreter's lock; also a driver that crashes."""
    faults = ("stuck", "stuck with the interpreter's lock", "crash", "end of the process")
    row = Row(times=len(faults), note="watchdog = 2; by default it is 10 s")
    with staged_buses(folder, [f"b{number}" for number in range(4)], rate=200, keys="watchdog = 2") as buses:
        fault_of = dict(zip((bus.name for bus in buses), faults, strict=True))

        def break_one(bus: StagedBus) -> None:
            with noted(row, fault_of[bus.name]):
                bus.wait_rate()
                break_with(bus, fault_of[bus.name], row)

        in_parallel(row, break_one, buses)
        for bus in buses:
            finish(row, bus)
    return row


def memory(folder: Path, scale: Scale) -> Row:
    """No more memory (RLIMIT_AS) for the worker whose driver leaks. It may live on with the memory that it has."""
    row = Row(times=scale.of(2, 10))
    survived = 0
    with staged_buses(folder, ["a"], rate=500, more_buses=OTHER) as (bus,), undisturbed(bus, row):
        for _ in range(row.times):
            bus.wait_rate()
            worker = bus.pid
            most = psutil.Process(worker).memory_info().vms + (32 << 20)
            resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
            fault_s = time.monotonic()
            bus.stage.order("leak")
            poll(lambda worker=worker, end_s=fault_s + 3: not alive(worker) or time.monotonic() > end_s)  # type: ignore[misc]
            if alive(worker):
                survived += 1
                bus.wait_flow()
                fault_s = time.monotonic()
                # As the kernel does if the memory of the machine is used up. It may just have ended by itself.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            wait_end(worker)
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            bus.forget_faults()
        finish(row, bus)
    row.figures["lived on without memory"] = survived
    return row


def descriptors(folder: Path, scale: Scale) -> Row:
    """No more descriptors for the worker (clients wait), then for the supervisor, whose worker is killed."""
    row = Row(times=2 * scale.of(1, 10))
    with SlcanBus(folder, rate=500, more_buses=OTHER) as bus, undisturbed(bus, row):
        supervisor = bus.daemon.process
        assert supervisor is not None
        for _ in range(scale.of(1, 10)):
            bus.wait_rate()
            with contextlib.ExitStack() as stack:
                with limited(bus.pid, 0):
                    waiting = [stack.enter_context(Client(bus.port)) for _ in range(3)]
                    bus.wait_flow()
                end_s = time.monotonic()
                for client in waiting:
                    client.wait_frames(1)
                row.recoveries_s.append(time.monotonic() - end_s)
            worker = bus.pid
            with limited(supervisor.pid, 2):  # as many as an answer to `status` needs
                os.kill(worker, signal.SIGKILL)
                bus.daemon.wait_state("a", "failed")
            end_s = time.monotonic()
            row.recoveries_s.append(bus.wait_flow() - end_s)
            bus.forget_faults()
        finish(row, bus)
    return row


def removed(folder: Path, scale: Scale) -> Row:
    """The Python and the package are removed and come back, as in an upgrade, while the worker is killed."""
    row = Row(times=2)
    python, package = folder / "python", folder / "package"
    python.symlink_to(Path(sys.executable).resolve())
    shutil.copytree(ROOT / "cancorderd", package / "cancorderd", ignore=shutil.ignore_patterns("__pycache__"))
    path = [str(package), *(entry for entry in sys.path if entry and Path(entry) != ROOT)]
    prefix = [
        "env",
        f"PYTHONPATH={os.pathsep.join(path)}",
        str(python),
        "-P",
        "-c",
        _RUN_AS_THIS_PYTHON,
    ]
    with SlcanBus(folder, rate=500, more_buses=OTHER, prefix=prefix) as bus, undisturbed(bus, row):
        for victim, state in ((python, "failed"), (package / "cancorderd", "backoff")):
            bus.wait_rate()
            worker = bus.pid
            away = victim.with_name("away")
            victim.rename(away)
            mark = bus.sent
            poll(lambda mark=mark: bus.seen.last > mark + 100, what="frames without the program")  # type: ignore[misc]
            os.kill(worker, signal.SIGKILL)
            wait_end(worker)
            bus.daemon.wait_state("a", state)
            away.rename(victim)
            end_s = time.monotonic()
            row.recoveries_s.append(bus.wait_flow() - end_s)
            bus.forget_faults()
        finish(row, bus)
    return row


_RUN_AS_THIS_PYTHON = """
import runpy, sys
sys.argv[:] = sys.argv[3:]  # the harness's Python, -m and the module
runpy.run_module("cancorderd.cli.cancorderd", run_name="__main__", alter_sys=True)
"""


DRILLS = (
    Drill("killed", "a worker gets SIGKILL", killed),
    Drill("rates-vary", "a worker gets SIGKILL as its bus becomes busy", rates_vary),
    Drill("paused", "a worker stands still (SIGSTOP) and goes on", paused),
    Drill("hung", "a worker stands still (SIGSTOP) for good", hung),
    Drill("exceptions", "a driver raises every kind of exception", exceptions),
    Drill("stuck", "a driver never returns, crashes, ends the process", stuck),
    Drill("memory", "a worker gets no more memory (RLIMIT_AS)", memory),
    Drill("descriptors", "worker and supervisor get no more descriptors", descriptors),
    Drill("removed", "Python and package removed under the daemon", removed),
)
