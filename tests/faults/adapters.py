"""Faults of adapters and their drivers: unplugged at random, deaf, or a driver that does what no driver should."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from tests.faults.account import Account
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import NumberedSlcan
from tests.faults.viewer import Viewer
from tests.support.faulty_driver import Fault, FaultyDriver, Word
from tests.support.gs_usb_adapter import frame
from tests.support.harness import Daemon, busy_limit_s, poll
from tests.support.numbered_frames import ARBITRATION_ID, Sender, slcan_line
from tests.support.slcan_thread import SlcanAdapter
from tests.support.toucan_stage import Stage
from tests.support.toucan_stage import Word as StageWord
from tests.support.usb_cable import CabledGsUsb, connected_libusb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

RATE = 1000
SEED = 12
UNPLUGGINGS = 50
SHORT_S = 6.0
"""Time for the unpluggings of an adapter in the short form."""
FEWEST = 3
RECOVERY_S = 3.0
"""From the moment at which an adapter is plugged in to its first frame at the client, if the machine is idle."""


class Adapter(Protocol):
    """An emulated adapter that sends numbered frames while it is plugged in."""

    bus: str
    """Keys of its bus."""

    @property
    def next_number(self) -> int: ...

    @property
    def sent(self) -> int:
        """Frames that were handed to the host."""

    def flow(self, rate: int) -> None:
        """Send so many frames per second."""

    def plug(self) -> None: ...

    def unplug(self) -> None: ...


class ServedBus:
    """The bus `a` and its viewer, in a running daemon."""

    def __init__(self, daemon: Daemon, viewer: Viewer, next_number: Callable[[], int]) -> None:
        self.daemon = daemon
        self.viewer = viewer
        self._next_number = next_number

    def status(self) -> dict[str, Any]:
        return self.daemon.bus("a")

    def wait_flow(self) -> float:
        """Wait for a frame that is sent from now on; return its arrival, on the monotonic clock."""
        mark = self._next_number()
        try:
            poll(lambda: self.viewer.last >= mark, what="a new frame")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}\n{self.daemon.log.read_text()}") from None
        return self.viewer.last_arrival_s

    def settle(self) -> None:
        """Wait until nothing is on the way, and a report has all counts. The adapter sends no more."""

        def settled() -> bool:
            before = self.viewer.received, self.status()["frames"]["received"]
            time.sleep(1.1)  # a report comes each second
            bus = self.status()
            after = self.viewer.received, bus["frames"]["received"]
            return bus["frames"]["per_second"] == 0 and before == after

        poll(settled, what="the end of the stream")

    def account(self, sent: int) -> Account:
        return Account(sent, self.viewer.received, dict(self.status()["lost"]), RATE)


@contextmanager
def served(folder: Path, bus: str, next_number: Callable[[], int]) -> Iterator[ServedBus]:
    """Start a daemon with the bus `a` and, beside it, a bus that must not suffer; connect a viewer."""
    beside = '[bus.beside]\ninterface = "mock"\npattern = "numbered"\nrate = 200\nstart = "always"\n'
    with Daemon(folder, f"[bus.a]\n{bus}{beside}") as daemon:
        port = daemon.wait_state("a", "running")["port"]
        with Viewer(port) as viewer, Viewer(daemon.wait_port("beside")) as neighbour:
            poll(lambda: len(daemon.bus("a")["clients"]) == 1, what="the viewer is connected")
            poll(lambda: neighbour.received > 0, what="frames of the bus beside")
            yield ServedBus(daemon, viewer, next_number)
            seen = neighbour.judgement
            assert seen.all_right, f"the bus beside suffered: {seen.tally}"
            assert neighbour.connections == 1, "the bus beside lost its client"


# --- unplugged --------------------------------------------------------------------------------------


class _HungUpSlcan(NumberedSlcan):
    """An adapter that is pulled out in the middle of a line."""

    def unplug(self) -> None:
        if self.slave is not None and self.open:
            self.write(slcan_line(self.sent)[:9])
        super().unplug()


class SlcanPlug:
    """An slcan adapter on a pseudo-terminal."""

    def __init__(self, port: Path, adapter: SlcanAdapter) -> None:
        self.bus = f'interface = "slcan"\nchannel = "{port}"\n'
        self._adapter = adapter

    @property
    def next_number(self) -> int:
        return self._adapter.adapter.sent

    @property
    def sent(self) -> int:
        return self._adapter.adapter.sent

    def flow(self, rate: int) -> None:
        self._adapter.command(f"rate {rate}")

    def plug(self) -> None:
        self._adapter.command("plug")

    def unplug(self) -> None:
        self._adapter.command("unplug")
        poll(lambda: self._adapter.adapter.master is None, what="the adapter is unplugged")


@contextmanager
def slcan(folder: Path) -> Iterator[Adapter]:
    with SlcanAdapter(folder / "tty", kind=_HungUpSlcan) as adapter:
        yield SlcanPlug(folder / "tty", adapter)


class GsUsbPlug:
    """A gs_usb adapter whose bus carries numbered frames."""

    bus = 'interface = "gs_usb"\n'

    def __init__(self, device: CabledGsUsb) -> None:
        self.next_number = 0
        self.device = device
        self._sender: Sender | None = None
        self.plug, self.unplug = device.plug, device.unplug

    @property
    def sent(self) -> int:
        return self.device.handed

    def flow(self, rate: int) -> None:
        if self._sender:
            self._sender.stop()
            self._sender = None
        if rate:
            self._sender = Sender(self._send, rate).__enter__()

    def _send(self, _: int) -> None:
        received = frame(ARBITRATION_ID, self.next_number.to_bytes(8))
        if self.device.started and self.device.receive(received):
            self.next_number += 1


@contextmanager
def gs_usb(folder: Path) -> Iterator[GsUsbPlug]:
    device = CabledGsUsb(folder / "cable")
    adapter = GsUsbPlug(device)
    with connected_libusb(folder, folder / "cable"):
        device.plug()
        try:
            yield adapter
        finally:
            adapter.flow(0)
            device.unplug()


class ToucanPlug:
    """A TouCAN, as its library shows it."""

    def __init__(self, stage: Stage) -> None:
        self.bus = f'interface = "toucan"\nlibrary = "{stage.library}"\n'
        self.stage = stage
        self.plug, self.unplug = stage.plug, stage.unplug

    @property
    def next_number(self) -> int:
        return self.stage[StageWord.NEXT]

    @property
    def sent(self) -> int:
        return self.stage[StageWord.MADE]

    def flow(self, rate: int) -> None:
        # Without a rate the library would make no frame, nor read a rate again before the next start.
        self.stage[StageWord.LIMIT] = 0 if rate else 1
        self.stage[StageWord.RATE] = rate or 1


@contextmanager
def toucan(folder: Path) -> Iterator[ToucanPlug]:
    with Stage(folder) as stage:
        stage[StageWord.CONTINUE] = 1
        os.environ["TOUCAN_STAGE"] = stage.file
        try:
            yield ToucanPlug(stage)
        finally:
            del os.environ["TOUCAN_STAGE"]


@contextmanager
def _busy_for(bus: ServedBus, seconds: float) -> Iterator[None]:
    """Keep the worker from reading for a while, so that the adapter is pulled out behind frames that wait."""
    worker = psutil.Process(poll(lambda: bus.status()["pid"], what="a worker"))
    if seconds:
        worker.suspend()
        time.sleep(seconds)
    try:
        yield
    finally:
        if seconds:
            worker.resume()


def unplugged(make: Callable[[Path], AbstractContextManager[Adapter]]) -> Callable[[Path, Scale], Row]:
    """Return the drill of an adapter."""

    def run(folder: Path, scale: Scale) -> Row:
        chance = random.Random(SEED)
        row = Row()
        with make(folder) as adapter, served(folder, adapter.bus, lambda: adapter.next_number) as bus:
            adapter.flow(RATE)
            end_s = time.monotonic() + SHORT_S
            while row.times < UNPLUGGINGS and (scale.long or row.times < FEWEST or time.monotonic() < end_s):
                bus.wait_flow()
                time.sleep(chance.uniform(0, 0.3))  # any moment
                with _busy_for(bus, 0.2 if row.times % 2 else 0.0):
                    adapter.unplug()
                if chance.random() < 0.5:
                    bus.daemon.wait_state("a", "waiting")
                else:
                    time.sleep(chance.uniform(0, 0.3))  # back before anybody has looked
                plugged_s = time.monotonic()
                adapter.plug()
                row.recoveries_s.append(bus.wait_flow() - plugged_s)
                row.times += 1
            adapter.flow(0)
            bus.settle()
            row.accounts.append(bus.account(adapter.sent))
            row.mistakes += bus.viewer.mistakes()
            row.expect(bus.viewer.connections == 1, f"the client was cut {bus.viewer.connections - 1} times")
            row.expect(
                max(row.recoveries_s) < busy_limit_s(RECOVERY_S),
                f"{max(row.recoveries_s):.1f} s from plugging in to the first frame",
            )
        return row

    return run


# --- deaf -------------------------------------------------------------------------------------------


class _DeafSlcan(NumberedSlcan):
    """An adapter that, while it is muted, accepts all that is written, and neither answers nor sends."""

    def handle(self, data: bytes) -> None:
        if not self.muted:
            super().handle(data)

    def stream(self) -> None:
        if not self.muted:
            super().stream()


def deaf(folder: Path, scale: Scale) -> Row:
    """A port that accepts writes and never answers: from its opening on, or while frames flow."""
    row = Row()
    with SlcanAdapter(folder / "tty", kind=_DeafSlcan) as adapter:
        plug = SlcanPlug(folder / "tty", adapter)
        with served(folder, plug.bus, lambda: plug.next_number) as bus:
            plug.flow(RATE)
            for turn in range(scale.of(2, 20)):
                bus.wait_flow()
                adapter.command("mute on")
                if turn % 2 == 0:
                    plug.unplug()
                    plug.plug()
                    bus.daemon.wait_state("a", "waiting")
                    reason = bus.status()["reason"]
                    row.expect(str(folder / "tty") in reason, f"the reason names no port: {reason}")
                else:
                    time.sleep(3)  # it does not answer when it is asked for its state
                worker = bus.status()["pid"]
                began_s = time.monotonic()
                adapter.command("mute off")
                row.recoveries_s.append(bus.wait_flow() - began_s)
                row.times += 1
                row.expect(bus.status()["pid"] == worker, "a silent port has cost the worker")
            plug.flow(0)
            bus.settle()
            row.accounts.append(bus.account(plug.sent))
            row.mistakes += bus.viewer.mistakes()
            row.expect(bus.viewer.connections == 1, f"the client was cut {bus.viewer.connections - 1} times")
    return row


# --- drivers ----------------------------------------------------------------------------------------

FAULTS = (
    Fault.RAISES_ONCE,
    Fault.PRINTS,
    Fault.RAISES,
    Fault.STARTS_HELPERS,
    Fault.EXITS,
    Fault.GONE,
    Fault.HANGS_AT_CLOSING,
)
"""Reads that hang are among the faults of workers."""
LONG_FAULTS = (*FAULTS, Fault.HANGS_AT_THE_NEXT_OPENING)
"""A worker has a minute for its first heartbeat."""


def _helpers(folder: Path) -> list[psutil.Process]:
    """Return the processes that the driver has started: they have its stage open, or are `sleep`."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if str(folder) in environment.get("PYTHONPATH", "") and process.info["cmdline"] == ["sleep", "60"]:
            found.append(process)
    return found


def misbehaving_driver(folder: Path, scale: Scale) -> Row:
    """Faults of a driver that no client notices but by a pause."""
    row = Row()
    with ExitStack() as stack:
        stage = stack.enter_context(FaultyDriver(folder, RATE))
        stack.callback(_end_helpers, folder)
        keys = f"{stage.bus}watchdog = 2\n"
        bus = stack.enter_context(served(folder, keys, lambda: stage[Word.NEXT]))
        stage[Word.OPEN] = 1
        for fault in scale.of(FAULTS, 7 * LONG_FAULTS):
            poll(lambda: bus.status()["frames"]["per_second"] > 0.5 * RATE, what="the rate")
            _break(bus, stage, fault, row)
        stage[Word.OPEN] = 0
        bus.settle()
        row.accounts.append(bus.account(stage[Word.NEXT]))
        row.mistakes += bus.viewer.mistakes()
        row.expect(bus.viewer.connections == 1, f"the client was cut {bus.viewer.connections - 1} times")
    return row


def _break(bus: ServedBus, stage: FaultyDriver, fault: Fault, row: Row) -> None:
    """Let the driver have a fault, and wait until frames flow again."""
    worker = bus.status()["pid"]
    began_s = time.monotonic()
    stage[Word.FAULT] = fault
    poll(lambda: stage[Word.FAULT] != fault, what=f"{fault.name} has begun")
    row.recoveries_s.append(bus.wait_flow() - began_s)
    row.times += 1
    row.figures.setdefault("recovery_s", {})[fault.name.lower()] = round(row.recoveries_s[-1], 2)
    if bus.status()["pid"] != worker:
        # The delay before the next start begins anew.
        # On a machine that is too busy, the command ends before the bus runs, and says so.
        assert bus.daemon.ctl("restart", "a").returncode in (0, 1)
        bus.daemon.wait_state("a", "running")
        bus.wait_flow()


def _end_helpers(folder: Path) -> None:
    for process in _helpers(folder):
        process.kill()


DRILLS = (
    Drill("slcan-unplugged", "an slcan adapter is pulled out at random", unplugged(slcan)),
    Drill("gs-usb-unplugged", "a gs_usb adapter is pulled out at random", unplugged(gs_usb)),
    Drill("toucan-unplugged", "a TouCAN is pulled out at random", unplugged(toucan)),
    Drill("deaf", "an slcan port accepts writes and never answers", deaf),
    Drill("driver", "a driver raises, exits, prints, forks, hangs", misbehaving_driver),
)
