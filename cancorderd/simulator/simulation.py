"""The simulation's interface: time and client count in, packets out. Pure.

Simulated time runs `speed` times as fast as the caller's clock. With `start = "client"`, a world exists only
while a client is connected: the first client starts a new world from the seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cancorderd.protocol.batch import EMPTY_BATCH, Batch
from cancorderd.protocol.frame import EXTENDED
from cancorderd.protocol.packets import packet
from cancorderd.simulator import limits
from cancorderd.simulator.flood import Flood
from cancorderd.simulator.flood_payloads import Numbered, Quality
from cancorderd.simulator.narration import Narration
from cancorderd.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.simulator.options import Options

MAX_BATCH_FRAMES = 1000
"""Most frames in a batch: they keep the caller's loop busy for some 10 ms."""
GATHER_S = 0.001
"""Least time between batches, as in the sources of real adapters on a busy bus."""
MAX_BEHIND_S = 2.0
"""If a simulation is later than this (slow or sleeping machine), it continues from now."""
TOLERANCE_S = 1e-6
"""Frames this close are due: a float clock is no finer after months."""
CLOCK_STEP_US = 50_000
"""Least step of the epoch clock that is followed; less is the noise of reading two clocks."""


class Simulation:
    """A mock bus. Call `advance` at `due_s`, and `set_client_count` when the number of clients changes."""

    def __init__(
        self, options: Options, now_s: float, accepts: Callable[[int, bool], bool] | None = None
    ) -> None:
        """`accepts(arbitration_id, is_extended)` returns whether frames with this id are wanted."""
        self._options = options
        self._accepts = accepts
        self.narration = Narration()
        self._clients = 0
        self._world: World | None = None
        self._flood: Flood | None = None
        self._origin_s = now_s
        self._not_before_s = now_s
        self._offset_us = math.inf
        self.malformed = 0
        """Frames that break a limit of CAN: a mistake of this package."""
        if options.start == "always":
            self._begin(now_s)

    def set_client_count(self, count: int, now_s: float) -> None:
        before, self._clients = self._clients, count
        always = self._options.start == "always"
        if count == 0 and not always:
            self._world = self._flood = None
        elif self._world is None and self._flood is None:
            self._begin(now_s)
        elif count > before and self._flood is not None:
            if self._flood.finished:
                self._flood.resume(now_s)
        elif count > before and self._world is not None and not (always and self._options.loop):
            # With both, sessions follow each other in any case.
            self._world.request_session(self._simulated(now_s))

    def advance(self, now_s: float, epoch_us: int) -> Batch:
        """Return the frames due by `now_s`, when the epoch clock reads `epoch_us`.

        At most MAX_BATCH_FRAMES are returned; if more are due, `due_s` is not in the future. A time stamp is
        the time of the frame's last bit on the bus. Time stamps do not run backwards unless the epoch clock
        is set back.
        """
        offset_us = epoch_us - now_s * 1e6
        if not abs(offset_us - self._offset_us) < CLOCK_STEP_US:
            self._offset_us = offset_us
        if self._flood is not None:
            return self._flood.advance(now_s + TOLERANCE_S, self._offset_us)
        if self._world is None:
            return EMPTY_BATCH
        behind_s = now_s - self._real(self._world.due)
        if behind_s > MAX_BEHIND_S:
            self._origin_s += behind_s
        return self._pack(self._world, now_s)

    def due_s(self) -> float | None:
        """Return when to call `advance` next, or None if not before `set_client_count`."""
        if self._flood is not None:
            return None if self._flood.finished else self._flood.due_s()
        if self._world is None or self._world.due == math.inf:
            return None
        return max(self._real(self._world.due), self._not_before_s)

    def _begin(self, now_s: float) -> None:
        self._origin_s = now_s
        pattern = limits.pattern_of(self._options)
        if pattern is None:
            self._world = World(self._options, self.narration)
            self._world.request_session(0.0)
        else:
            self._flood = self._pattern_flood(pattern, now_s)

    def _pattern_flood(self, pattern: limits.Pattern, now_s: float) -> Flood | None:
        """Return the flood, or None if nobody wants its arbitration id."""
        options = self._options
        arbitration_id = limits.pattern_id(options, pattern)
        if self._accepts is not None and not self._accepts(arbitration_id, options.extended):
            return None
        length = limits.pattern_length(options, pattern)
        return Flood(
            limits.PATTERN_RATE if options.rate is None else options.rate,
            limits.pattern_flags(options, pattern),
            now_s,
            arbitration_id=arbitration_id,
            payloads=Quality(length, options.test_id or 0) if pattern == "quality" else Numbered(length),
            burst=options.burst,
            count=options.count,
        )

    def _pack(self, world: World, now_s: float) -> Batch:
        arrivals = world.run(self._simulated(now_s + TOLERANCE_S), MAX_BATCH_FRAMES)
        if len(arrivals) < MAX_BATCH_FRAMES:
            self._not_before_s = now_s + GATHER_S
        packets: list[bytes] = []
        for arrived_s, (arbitration_id, data, flags) in arrivals:
            if self._accepts is None or self._accepts(arbitration_id, bool(flags & EXTENDED)):
                timestamp_us = round(self._offset_us + self._real(arrived_s) * 1e6)
                if packed := packet(timestamp_us, arbitration_id, flags, data):
                    packets.append(packed)
                else:
                    self.malformed += 1
        return Batch(b"".join(packets), len(packets))

    def _simulated(self, now_s: float) -> float:
        return (now_s - self._origin_s) * self._options.speed

    def _real(self, simulated_s: float) -> float:
        return self._origin_s + simulated_s / self._options.speed
