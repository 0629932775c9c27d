"""Four buses with all faults at random: every frame is accounted for, and neither memory nor descriptors grow."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.faults import growth
from tests.faults.crowd import Crowd
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import numbered_adapter, slcan_table, watched
from tests.faults.staged_buses import StagedBus, staged_table
from tests.faults.staged_driver import EXCEPTIONS, Stage, installed
from tests.support.harness import Daemon, poll, wait_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.watched_bus import WatchedBus
    from tests.support.slcan_thread import SlcanAdapter

_RATE = 200
_STANDSTILL_S = 1.0


class Soak:
    """The buses, and a method for each fault. A method returns when the fault is over; then frames flow again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.adapters = {name: numbered_adapter(folder / f"tty-{name}") for name in ("a", "b")}
        self.stages = {name: Stage.new(folder / f"stage-{name}") for name in ("c", "d")}
        tables = [slcan_table(name, folder / f"tty-{name}") for name in self.adapters]
        tables += [staged_table(name, folder / f"stage-{name}") for name in self.stages]
        self.daemon = Daemon(folder, "".join(tables))
        self.slcan: list[tuple[WatchedBus, SlcanAdapter]] = [
            (watched(self.daemon, name, adapter), adapter) for name, adapter in self.adapters.items()
        ]
        self.staged = [StagedBus(self.daemon, name, stage) for name, stage in self.stages.items()]
        self.buses: list[WatchedBus] = [bus for bus, _ in self.slcan] + list(self.staged)
        self.crashes = dict.fromkeys("abcd", 0)
        self.faults: list[Callable[[], WatchedBus]] = [
            self.kill, self.stand_still, self.restart, self.stop_and_start, self.reload, self.unplug, self.raise_one,
            self.crash, self.clients_come_and_go, self.client_does_not_read,
        ]  # fmt: skip

    def any_bus(self) -> WatchedBus:
        return self.chance.choice(self.buses)

    def kill(self) -> WatchedBus:
        bus = self.any_bus()
        self.crashes[bus.name] += 1
        worker = bus.pid
        os.kill(worker, signal.SIGKILL)
        wait_end(worker)
        return bus

    def crash(self) -> WatchedBus:
        bus = self.chance.choice(self.staged)
        self.crashes[bus.name] += 1
        worker = bus.pid
        bus.stage.order("crash")
        wait_end(worker)
        return bus

    def raise_one(self) -> WatchedBus:
        bus = self.chance.choice(self.staged)
        worker = bus.pid
        bus.stage.order(self.chance.choice(list(EXCEPTIONS)))
        wait_end(worker)
        return bus

    def stand_still(self) -> WatchedBus:
        bus = self.any_bus()
        worker = bus.pid
        os.kill(worker, signal.SIGSTOP)
        try:
            end_s = time.monotonic() + _STANDSTILL_S
            poll(lambda: time.monotonic() > end_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
        return bus

    def restart(self) -> WatchedBus:
        bus = self.any_bus()
        bus.forget_faults()
        return bus

    def stop_and_start(self) -> WatchedBus:
        bus = self.any_bus()
        for verb in ("stop", "start"):
            self.command(verb, bus.name)
        return bus

    def reload(self) -> WatchedBus:
        self.command("reload")
        return self.any_bus()

    def unplug(self) -> WatchedBus:
        bus, adapter = self.chance.choice(self.slcan)
        adapter.command("unplug")
        self.daemon.wait_state(bus.name, "waiting", "backoff")
        adapter.command("plug")
        return bus

    def clients_come_and_go(self) -> WatchedBus:
        bus = self.any_bus()
        with Crowd(bus.port) as crowd:
            crowd.join(10)
            crowd.leave(crowd.streams[:5], reset=True)
        return bus

    def client_does_not_read(self) -> WatchedBus:
        bus = self.any_bus()
        with Crowd(bus.port) as crowd:
            crowd.join(3, receive_buffer=4096)
            bus.wait_flow()
        return bus

    def command(self, *words: str) -> None:
        """Give a command. On a machine that is too busy, it ends before a bus runs, with the status 1."""
        done = self.daemon.ctl(*words)
        assert done.returncode in (0, 1), f"{words}: {done.stdout}{done.stderr}"

    def sample(self, began_s: float) -> growth.Sample:
        """Look at the processes while all buses run; once more if a process ends meanwhile."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self._sample(began_s)
        return self._sample(began_s)

    def _sample(self, began_s: float) -> growth.Sample:
        assert self.daemon.process is not None
        supervisor = psutil.Process(self.daemon.process.pid)
        workers = self.daemon.workers()
        return growth.Sample(
            time.monotonic() - began_s,
            supervisor.memory_full_info().uss,
            sum(worker.memory_full_info().uss for worker in workers),
            supervisor.num_fds(),
            sum(worker.num_fds() for worker in workers),
        )


def soak(folder: Path, scale: Scale) -> Row:
    minutes = scale.minutes or scale.of(3, 60)
    seed = random.SystemRandom().randrange(1 << 32)
    row = Row(figures={"minutes": minutes, "seed": seed})
    samples: list[growth.Sample] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(installed(folder))
        run = Soak(folder, seed)
        for adapter in run.adapters.values():
            stack.enter_context(adapter)
        for bus in run.buses:
            stack.callback(bus.disconnect)
        stack.enter_context(run.daemon)
        for bus in run.buses:
            bus.connect()
            run.daemon.wait_state(bus.name, "running")
            bus.send(_RATE)
        began_s = time.monotonic()
        last = ""
        try:
            while time.monotonic() - began_s < 60 * minutes:
                fault = run.chance.choice(run.faults)
                last = fault.__name__
                for bus in run.buses:
                    bus.wait_rate()
                crashes = dict(run.crashes)
                bus = fault()
                end_s = time.monotonic()
                row.recoveries_s.append(max(0.0, bus.wait_flow() - end_s))
                if run.crashes != crashes:
                    bus.forget_faults()
                row.times += 1
                for each in run.buses:
                    run.daemon.wait_state(each.name, "running")
                samples.append(run.sample(began_s))
        except AssertionError as error:
            row.mistakes.append(f"{last}, fault {row.times + 1}, seed {seed}: {error}")
        for bus in run.buses:
            account = bus.account()
            # After each crash, the estimate may be a second's frames too high.
            row.accounts.append(replace(account, rate=_RATE * max(1, run.crashes[bus.name])))
            row.mistakes += bus.seen.mistakes()
    judge_growth(row, samples)
    return row


def judge_growth(row: Row, samples: list[growth.Sample]) -> None:
    """Take the growth into the row, and write the plot if the environment names its file."""
    steady = [sample for sample in samples if sample.at_s >= growth.WARM_UP_S]
    if len(steady) < growth.FEWEST or steady[-1].at_s < 1.5 * growth.WARM_UP_S:
        row.note = (
            f"{len(steady)} looks after the first minute: too few for the growth of memory and descriptors"
        )
        return
    grown = {series: growth.growth(samples, series) for series in growth.SERIES}
    row.figures["growth"] = {series: round(value, 4) for series, value in grown.items()}
    row.note = "growth after the first minute: " + ", ".join(
        f"{series.replace('_', ' ')} {value:+.1%}" for series, value in grown.items()
    )
    for series, value in grown.items():
        row.expect(value < growth.MOST, f"{series.replace('_', ' ')} have grown by {value:.1%}")
    if path := os.environ.get("CANCORDER_SOAK_PLOT"):
        Path(path).write_text(growth.plot(samples))


DRILLS = (Drill("soak", "four buses, all faults at random", soak),)
