"""One run of the simulation: a bus, its nodes, a car. Pure.

Time is simulated: seconds since the run began. Frames depend on options and seed alone, not on how often
`World.run` is called.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cancorderd.simulator import ecu, tester
from cancorderd.simulator.background_traffic import BackgroundTraffic
from cancorderd.simulator.fault_memory import FaultMemory
from cancorderd.simulator.flash_memory import FlashMemory
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.simulated_bus import BusFrame, SimulatedBus
from cancorderd.simulator.uds_server import UdsServer
from cancorderd.simulator.vehicle import Vehicle
from cancorderd.simulator.workshop import Workshop

if TYPE_CHECKING:
    from cancorderd.simulator.options import Options

CLASSIC_BLOCK_LENGTHS = (66, 130, 258)
FD_BLOCK_LENGTHS = (130, 258, 1026)

ARRIVAL_S = 40.0
"""Length of the drive before a run begins: it warms the engine and sets trouble codes with snapshots."""

TESTER = 1
"""Index of the tester among the nodes."""


class Node(Protocol):
    """Node of the bus. The world takes the frames from `outbox` after each call."""

    outbox: list[BusFrame]
    accepts: frozenset[int]
    """Arbitration ids that the node receives, like a controller's filter."""

    @property
    def due(self) -> float: ...

    def wake(self, now: float) -> None: ...

    def receive(self, frame: BusFrame, now: float) -> None: ...

    def sent(self, frame: BusFrame, now: float) -> None: ...


class Arrival(NamedTuple):
    """A frame, and the time of its last bit on the bus."""

    arrived_s: float
    frame: BusFrame


class World:
    """Tester, ECU and background traffic on one bus."""

    def __init__(self, options: Options, narration: Narration | None = None) -> None:
        def rng(purpose: str) -> random.Random:
            # A random stream for each purpose, so that no option changes the rest of a run.
            return random.Random(None if options.seed is None else f"{options.seed} {purpose}")  # noqa: S311

        narration = narration or Narration()
        vehicle = Vehicle(rng("vehicle"), -ARRIVAL_S)
        faults = FaultMemory(rng("faults"), vehicle)
        _arrive(vehicle, faults)
        chance = rng("ecu")
        block_lengths = FD_BLOCK_LENGTHS if options.fd else CLASSIC_BLOCK_LENGTHS
        block_length = options.block_length or chance.choice(block_lengths)
        flash = FlashMemory(chance, block_length, options.transfer_error_rate * 2 / 3, narration)
        server = UdsServer(chance, vehicle, faults, flash, options.busy_rate, narration=narration)
        frame_length = 64 if options.fd else 8
        addresses = options.addresses
        self._tester = tester.Tester(addresses, tester.profile(frame_length), rng("tester"), vehicle.advance)
        self._workshop = Workshop(options, vehicle, faults, rng("workshop"), narration)
        engine = ecu.Ecu(server, addresses, ecu.profile(frame_length), chance)
        rate = options.background / options.speed
        background = BackgroundTraffic(
            rate, options.bus_flags, vehicle, lambda: engine.transmitting, rng("background")
        )
        nodes: tuple[Node, ...] = (engine, self._tester, background)
        self._nodes = nodes
        self._listeners = {
            arbitration_id: [number for number, node in enumerate(nodes) if arbitration_id in node.accepts]
            for arbitration_id in addresses[:3]
        }
        self._bus = SimulatedBus(options.bitrate, options.data_bitrate)
        self._now = 0.0
        self._dues = [node.due for node in self._nodes]
        self.due = min(self._dues)
        """Time of the next event; infinite until a session is requested, if there is none."""

    def request_session(self, now: float) -> None:
        """Begin a session, at once or after the current session."""
        if self._tester.idle:
            self._tester.run(self._workshop.script(), max(now, self._now))
        else:
            self._workshop.request_session()
        self._dues[TESTER] = self._tester.due
        self.due = min(self._bus.due, *self._dues)

    def run(self, until: float, max_frames: int) -> list[Arrival]:
        """Let time pass, and return arrived frames. Stop early, before `due`, after `max_frames`."""
        arrivals: list[Arrival] = []
        while len(arrivals) < max_frames and (now := self.due) <= until:
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
        """Put a node's outgoing frames on the bus, and update when the node is due."""
        node = self._nodes[number]
        if node.outbox:
            for frame in node.outbox:
                self._bus.put(frame, number, now)
            node.outbox.clear()
        self._dues[number] = node.due


def _arrive(vehicle: Vehicle, faults: FaultMemory) -> None:
    vehicle.drive()
    vehicle.advance(-ARRIVAL_S / 2)
    faults.set_random_codes()
    vehicle.park()
    vehicle.advance(0.0)
