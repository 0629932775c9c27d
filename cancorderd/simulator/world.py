"""One run of the simulation: a bus, its nodes, a car. Pure.

Time is simulated: seconds since the run began. What happens depends on options and seed alone, not on how
often anybody asks.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cancorderd.simulator import ecu, tester
from cancorderd.simulator.background import Background
from cancorderd.simulator.bus import Bus, BusFrame
from cancorderd.simulator.faults import Faults
from cancorderd.simulator.programming import Flash
from cancorderd.simulator.server import Server
from cancorderd.simulator.vehicle import Vehicle
from cancorderd.simulator.workshop import Workshop

if TYPE_CHECKING:
    from cancorderd.simulator.options import Options

CLASSIC_BLOCK_LENGTHS = (66, 130, 258)
FD_BLOCK_LENGTHS = (130, 258, 1026)

ARRIVAL_S = 40.0
"""How long the car drives before a run begins: engine warm, trouble codes with what it did then."""

TESTER = 1
"""Which of the nodes is the tester."""


class Node(Protocol):
    """What is on the bus. Its owner takes the frames from `outbox` after each call."""

    outbox: list[BusFrame]
    accepts: frozenset[int]
    """Arbitration ids that it receives, as a controller's filter has it."""

    @property
    def due(self) -> float: ...

    def wake(self, now: float) -> None: ...

    def receive(self, frame: BusFrame, now: float) -> None: ...

    def sent(self, frame: BusFrame, now: float) -> None: ...


class Arrival(NamedTuple):
    """A frame, and when its last bit was on the bus."""

    at: float
    frame: BusFrame


class World:
    """Tester, ECU and background traffic on one bus."""

    def __init__(self, options: Options) -> None:
        def rng(purpose: str) -> random.Random:
            # A stream for each, so that one option does not change what all the others bring.
            return random.Random(None if options.seed is None else f"{options.seed} {purpose}")  # noqa: S311

        vehicle = Vehicle(rng("vehicle"), -ARRIVAL_S)
        faults = Faults(rng("faults"), vehicle)
        _arrive(vehicle, faults)
        chance = rng("ecu")
        block_lengths = FD_BLOCK_LENGTHS if options.fd else CLASSIC_BLOCK_LENGTHS
        block_length = options.block_length or chance.choice(block_lengths)
        flash = Flash(chance, block_length, options.transfer_error_rate * 2 / 3)
        server = Server(chance, vehicle, faults, flash, options.busy_rate)
        frame_length = 64 if options.fd else 8
        addresses = options.addresses
        self._tester = tester.Tester(addresses, tester.profile(frame_length), rng("tester"), vehicle.until)
        self._workshop = Workshop(options, vehicle, faults, rng("workshop"))
        engine = ecu.Ecu(server, addresses, ecu.profile(frame_length), chance)
        rate = options.background / options.speed
        background = Background(rate, options.bus_flags, vehicle, lambda: engine.talking, rng("background"))
        nodes: tuple[Node, ...] = (engine, self._tester, background)
        self._nodes = nodes
        self._listeners = {
            heard: [number for number, node in enumerate(nodes) if heard in node.accepts]
            for heard in addresses[:3]
        }
        self._bus = Bus(options.bitrate, options.data_bitrate)
        self._now = 0.0
        self._dues = [node.due for node in self._nodes]
        self.due = min(self._dues)
        """When the next thing happens; infinite: nothing does until a session is wanted."""

    def want_session(self, now: float) -> None:
        """A session begins, at once or as soon as may be."""
        if self._tester.idle:
            self._tester.run(self._workshop.day(), max(now, self._now))
        else:
            self._workshop.want_session()
        self._dues[TESTER] = self._tester.due
        self.due = min(self._bus.due, *self._dues)

    def run(self, until: float, most: int) -> list[Arrival]:
        """Let time pass. Stops before `until` once `most` frames have arrived; `due` tells."""
        arrivals: list[Arrival] = []
        while len(arrivals) < most and (now := self.due) <= until:
            self._now = now
            if self._bus.due <= now:
                frame, sender = self._bus.arrive()
                arrivals.append(Arrival(now, frame))
                self._deliver(frame, sender, now)
            for number, due in enumerate(self._dues):
                if due <= now:
                    self._nodes[number].wake(now)
                    self._settle(number, now)
            self.due = min(self._bus.due, *self._dues)
        return arrivals

    def _deliver(self, frame: BusFrame, sender: int, now: float) -> None:
        self._nodes[sender].sent(frame, now)
        self._settle(sender, now)
        for number in self._listeners.get(frame.arbitration_id, ()):
            if number != sender:
                self._nodes[number].receive(frame, now)
                self._settle(number, now)

    def _settle(self, number: int, now: float) -> None:
        """Put what a node wants to send on the bus, and note when it wants to be woken."""
        node = self._nodes[number]
        if node.outbox:
            for frame in node.outbox:
                self._bus.put(frame, number, now)
            node.outbox.clear()
        self._dues[number] = node.due


def _arrive(vehicle: Vehicle, faults: Faults) -> None:
    vehicle.drive()
    vehicle.until(-ARRIVAL_S / 2)
    faults.appear()
    vehicle.park()
    vehicle.until(0.0)
