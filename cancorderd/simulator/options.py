"""Options of a simulation, and their limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cancorderd.protocol.frame import EXTENDED
from cancorderd.simulator import firmware_image, limits
from cancorderd.simulator.ecu import Addresses

MAX_SPEED = 1000.0
MAX_RATE = 10_000_000
MAX_BURST = 10_000
MAX_COUNT = 1 << 62

BLOCK_LENGTHS = (3, 4095)
"""Shortest and longest TransferData request; the latter is the limit of ISO-TP."""


@dataclass(frozen=True)
class Options:
    """Options of a simulation. Raises ValueError; its message names a valid value."""

    tester_id: int | None = None
    """None: 0x7E0, or 0x18DA10F1 if `extended`."""
    ecu_id: int | None = None
    """None: 0x7E8, or 0x18DAF110 if `extended`."""
    speed: float = 1.0
    loop: bool = True
    start: Literal["client", "always"] = "client"
    seed: int | None = None
    """The same seed gives the same frames. None: different frames each time."""

    extended: bool = False
    fd: bool = False
    bitrate: int = 500_000
    data_bitrate: int = limits.DEFAULT_DATA_BITRATE
    """Bit rate of the data phase, if `fd`."""

    background: float = 0
    """Cyclic frames per second."""

    pattern: limits.Pattern | None = None
    """Frames of a pattern instead of everything else: a flood. None: numbered frames if there is a rate."""
    rate: float | None = None
    """Frames per second of the pattern. None: 1,000 if there is a pattern."""
    id: int | None = None
    length: int | None = None
    """Bytes of each frame of the pattern. None: 8, or 64 of the quality test if `fd`."""
    burst: int = 1
    """Frames of the pattern that are sent at once."""
    count: int = 0
    """Frames of the pattern for a client that connects while none are sent. 0: no end."""
    test_id: int | None = None
    """Number of the quality test in its frames. None: 0."""

    # Probabilities of mistakes, 0 to 1. The first three are the ancestor's.
    busy_rate: float = 0.03
    """Busy (0x21), for each request except TransferData and TesterPresent."""
    conditions_rate: float = 0.02
    """Engine still on (0x22), for each session."""
    wrong_key_rate: float = 0.15
    """Wrong key (0x35; after three of them 0x36 and 0x37), for each key."""
    transfer_error_rate: float = 0.005
    """Transfer error (0x71, 0x72 or 0x73), for each block."""
    slip_rate: float = 0.10
    """Request that comes too early or asks for too much (0x24, 0x31, 0x33), for each opportunity."""

    image_size: int | None = None
    """Bytes of firmware in a session. None: 12,800 to 38,400, as in the ancestor."""
    block_length: int | None = None
    """Longest TransferData request that the ECU accepts. None: 66, 130 or 258, if `fd` up to 1,026."""

    def __post_init__(self) -> None:
        # Ranges come before the load, which is computed from values within them.
        refusal = limits.refused_id(self) or self._refused_range()
        if refusal := refusal or limits.refused_load(self) or limits.refused_pattern(self):
            raise ValueError(f"{refusal.key}: {refusal.fact}. {refusal.remedy}")

    @property
    def addresses(self) -> Addresses:
        """Arbitration ids of diagnosis, defaults included."""
        ids = limits.diagnostic_ids(self)
        return Addresses(*ids, flags=self.bus_flags | (EXTENDED if self.extended else 0))

    @property
    def bus_flags(self) -> int:
        """Flags of every frame on this bus."""
        return limits.bus_flags(self)

    def _refused_range(self) -> limits.Refusal | None:
        ranges: tuple[tuple[str, float | None, float, float], ...] = (
            ("bitrate", self.bitrate, 1, 1_000_000),
            ("data_bitrate", self.data_bitrate, 1, 10_000_000),
            ("background", self.background, 0, MAX_RATE),
            ("rate", self.rate, 0, MAX_RATE),
            ("burst", self.burst, 1, MAX_BURST),
            ("count", self.count, 0, MAX_COUNT),
            ("test_id", self.test_id, 0, 0xFF),
            ("image_size", self.image_size, firmware_image.MIN_SIZE, firmware_image.FLASH_SIZE),
            ("block_length", self.block_length, *BLOCK_LENGTHS),
            ("busy_rate", self.busy_rate, 0, 1),
            ("conditions_rate", self.conditions_rate, 0, 1),
            ("wrong_key_rate", self.wrong_key_rate, 0, 1),
            ("transfer_error_rate", self.transfer_error_rate, 0, 1),
            ("slip_rate", self.slip_rate, 0, 1),
        )
        for key, value, lowest, highest in ranges:
            if value is not None and not lowest <= value <= highest:
                remedy = f"Use a value from {lowest:,} to {highest:,}."
                return limits.Refusal(key, f"{value} is out of range", remedy)
        if not 0 < self.speed <= MAX_SPEED:
            remedy = f"Use a factor above 0 and up to {MAX_SPEED:g}."
            return limits.Refusal("speed", f"{self.speed} is out of range", remedy)
        if self.pattern not in (None, *limits.PATTERN_IDS):
            fact = f"there is no pattern {self.pattern!r}"
            return limits.Refusal("pattern", fact, 'Use "numbered" or "quality".')
        if self.start not in ("client", "always"):
            return limits.Refusal("start", f"there is no start {self.start!r}", 'Use "client" or "always".')
        return None
