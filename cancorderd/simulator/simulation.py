"""The simulation as its shell sees it: time and clients in, wire packets out. Pure.

Simulated time goes `speed` times as fast as the caller's clock. With `start = "client"` there is a world
only while a client is there: it begins anew, from the seed, with the first one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cancorderd.frame import EXTENDED, NOTHING, Batch
from cancorderd.simulator import flood
from cancorderd.simulator.world import World
from cancorderd.wire import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.simulator.options import Options

MOST_AT_ONCE = 1000
"""Frames in a batch: what a loop can be kept waiting for, some 10 ms."""
GATHER_S = 0.001
"""No more than one batch in this time, as adapters' sources do on a busy bus."""
MAX_BEHIND_S = 2.0
"""A simulation that is later than this (a machine too slow, or asleep) goes on from now."""
TOLERANCE_S = 1e-6
"""What comes this soon is due: a clock that has counted for months is no finer."""
CLOCK_STEP_US = 50_000
"""A change of the caller's epoch clock that is followed; anything less is the noise of reading two clocks."""


class Simulation:
    """A mock bus. Call `advance` at `due_s`, and `clients` when their number changes."""

    def __init__(
        self, options: Options, now_s: float, accepts: Callable[[int, bool], bool] | None = None
    ) -> None:
        """`accepts` says of an arbitration id, and whether it is a 29-bit one, if its frames are wanted."""
        self._options = options
        self._accepts = accepts
        self._clients = 0
        self._world: World | None = None
        self._flood: flood.Flood | None = None
        self._origin_s = now_s
        self._not_before_s = now_s
        self._offset_us = math.inf
        if options.start == "always":
            self._begin(now_s)

    def clients(self, count: int, now_s: float) -> None:
        """So many clients are connected now."""
        before, self._clients = self._clients, count
        if self._options.start == "always":
            return
        if count == 0:
            self._world = self._flood = None
        elif self._world is None and self._flood is None:
            self._begin(now_s)
        elif count > before and self._world is not None:
            self._world.want_session(self._simulated(now_s))

    def advance(self, now_s: float, epoch_us: int) -> Batch:
        """Every frame due by `now_s`, when the epoch clock says `epoch_us`; see `due_s` for more.

        Stamps are when a frame's last bit was on the bus; they do not run backwards unless the epoch
        clock is set back.
        """
        offset_us = epoch_us - now_s * 1e6
        if not abs(offset_us - self._offset_us) < CLOCK_STEP_US:
            self._offset_us = offset_us
        if self._flood is not None:
            return self._flood.advance(now_s + TOLERANCE_S, self._offset_us)
        if self._world is None:
            return NOTHING
        behind_s = now_s - self._real(self._world.due)
        if behind_s > MAX_BEHIND_S:
            self._origin_s += behind_s
        return self._pack(self._world, now_s)

    def due_s(self) -> float | None:
        """When to call `advance` next; not in the future: at once. None: not before `clients`."""
        if self._flood is not None:
            return self._flood.due_s()
        if self._world is None or self._world.due == math.inf:
            return None
        return max(self._real(self._world.due), self._not_before_s)

    def _begin(self, now_s: float) -> None:
        self._origin_s = now_s
        if self._options.rate:
            if self._accepts is None or self._accepts(flood.ARBITRATION_ID, False):
                self._flood = flood.Flood(self._options.rate, self._options.bus_flags, now_s)
            return
        self._world = World(self._options)
        self._world.want_session(0.0)

    def _pack(self, world: World, now_s: float) -> Batch:
        arrivals = world.run(self._simulated(now_s + TOLERANCE_S), MOST_AT_ONCE)
        if len(arrivals) < MOST_AT_ONCE:
            self._not_before_s = now_s + GATHER_S
        packets: list[bytes] = []
        for at, (arbitration_id, data, flags) in arrivals:
            if self._accepts is None or self._accepts(arbitration_id, bool(flags & EXTENDED)):
                stamp_us = round(self._offset_us + self._real(at) * 1e6)
                packets.append(HEADER.pack(stamp_us, arbitration_id, flags, len(data)) + data)
        return Batch(b"".join(packets), len(packets))

    def _simulated(self, now_s: float) -> float:
        return (now_s - self._origin_s) * self._options.speed

    def _real(self, at: float) -> float:
        return self._origin_s + at / self._options.speed
