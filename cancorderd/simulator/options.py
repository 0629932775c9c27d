"""What a simulation can be asked for, and what it refuses. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from cancorderd.frame import BRS, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID
from cancorderd.simulator import image
from cancorderd.simulator.background import TRAFFIC
from cancorderd.simulator.bus import BusFrame, duration_s
from cancorderd.simulator.ecu import Addresses

MAX_SPEED = 1000.0
MAX_RATE = 10_000_000
BACKGROUND_SHARE = 0.8
"""Most of the bus that background traffic may take: it goes before diagnosis, whose ids are high."""

BACKGROUND_IDS = frozenset(cyclic.arbitration_id for cyclic in TRAFFIC)

BLOCK_LENGTHS = (3, 4095)
"""Shortest and longest TransferData request; ISO-TP ends at the latter."""

# ISO 15765-4, tables 4 and 5: 11-bit ids, and 29-bit ids of ECU 0x10 and tester 0xF1.
STANDARD_IDS = (0x7E0, 0x7E8, 0x7DF)
EXTENDED_IDS = (0x18DA_10F1, 0x18DA_F110, 0x18DB_33F1)


@dataclass(frozen=True)
class Options:
    """How a simulation goes. Raises ValueError, with what to write instead."""

    tester_id: int | None = None
    """None: 0x7E0, with `extended` 0x18DA10F1."""
    ecu_id: int | None = None
    """None: 0x7E8, with `extended` 0x18DAF110."""
    speed: float = 1.0
    loop: bool = True
    start: Literal["client", "always"] = "client"
    seed: int | None = None
    """The same seed gives the same frames; None: others each time."""

    extended: bool = False
    fd: bool = False
    bitrate: int = 500_000
    data_bitrate: int = 2_000_000
    """With `fd`: the bit rate of the data phase."""

    background: float = 0
    """Cyclic frames per second."""
    rate: float = 0
    """Flood: numbered frames per second, in place of everything else. 0: no flood."""

    # Chances, 0 to 1, of what goes wrong. The first three are the ancestor's.
    busy_rate: float = 0.03
    """Of each request but TransferData and TesterPresent: 0x21."""
    conditions_rate: float = 0.02
    """Of each session: the engine is still on, 0x22."""
    wrong_key_rate: float = 0.15
    """Of each key: 0x35, and after three of them 0x36 and 0x37."""
    transfer_error_rate: float = 0.005
    """Of each block: 0x71, 0x72 or 0x73."""
    slip_rate: float = 0.10
    """Of each opportunity for the tester to ask too early or for too much: 0x24, 0x31, 0x33."""

    image_size: int | None = None
    """Bytes of firmware in a session; None: 12,800 to 38,400, as the ancestor."""
    block_length: int | None = None
    """Longest TransferData request that the ECU takes; None: 66, 130 or 258, with `fd` up to 1,026."""

    def __post_init__(self) -> None:
        # Ranges first: the load cannot be reckoned without.
        if wrong := self._wrong_ids() or self._wrong_ranges() or self._wrong_load():
            raise ValueError(wrong)

    @property
    def addresses(self) -> Addresses:
        """The arbitration ids of diagnosis, with what is left out filled in."""
        tester, ecu, functional = EXTENDED_IDS if self.extended else STANDARD_IDS
        return Addresses(
            tester=tester if self.tester_id is None else self.tester_id,
            ecu=ecu if self.ecu_id is None else self.ecu_id,
            functional=functional,
            flags=self.bus_flags | (EXTENDED if self.extended else 0),
        )

    @property
    def bus_flags(self) -> int:
        """What every frame on this bus has."""
        return FD | BRS if self.fd else 0

    @property
    def max_background(self) -> int:
        """The highest `background` that leaves the bus to diagnosis."""
        frame = BusFrame(0, bytes(8), self.bus_flags)
        return int(BACKGROUND_SHARE * self.speed / duration_s(frame, self.bitrate, self.data_bitrate))

    def _wrong_ids(self) -> str | None:
        highest = MAX_EXTENDED_ID if self.extended else MAX_STANDARD_ID
        addresses = self.addresses
        for key, value in (("tester_id", addresses.tester), ("ecu_id", addresses.ecu)):
            if not 0 <= value <= highest:
                hint = "" if self.extended else ", or set extended = true"
                return f"{key} is 0x{value:X}. Use an id up to 0x{highest:X}{hint}"
            if self.background and value in BACKGROUND_IDS:
                return f"{key} is 0x{value:X}, which the background traffic has. Use another"
            if value == addresses.functional:
                return f"{key} is 0x{value:X}, the id of requests to all ECUs. Use another"
        if addresses.tester == addresses.ecu:
            return (
                f"ecu_id is 0x{addresses.ecu:X}, the tester's arbitration id too. "
                "Use two different ones such as 0x7E0 and 0x7E8"
            )
        return None

    def _wrong_ranges(self) -> str | None:
        ranges = {
            "bitrate": (1, 1_000_000),
            "data_bitrate": (1, 10_000_000),
            "background": (0, MAX_RATE),
            "rate": (0, MAX_RATE),
            "image_size": (image.MIN_SIZE, image.FLASH_SIZE),
            "block_length": BLOCK_LENGTHS,
        }
        rates = ("busy_rate", "conditions_rate", "wrong_key_rate", "transfer_error_rate", "slip_rate")
        for key, (lowest, highest) in (ranges | dict.fromkeys(rates, (0, 1))).items():
            value = getattr(self, key)
            if value is not None and not lowest <= value <= highest:
                return f"{key} is {value}. Use a value from {lowest:,} to {highest:,}"
        if not 0 < self.speed <= MAX_SPEED:
            return f"speed is {self.speed}. Use a factor above 0 and up to {MAX_SPEED:g}"
        if self.start not in ("client", "always"):
            return f'start is {self.start!r}. Use "client" or "always"'
        return None

    def _wrong_load(self) -> str | None:
        if self.background <= self.max_background:
            return None
        return (
            f"background is {self.background:g}; at this bit rate the bus carries {self.max_background}"
            " frames/s beside diagnosis. Use fewer, a higher bitrate, or `rate`, which knows no bus"
        )


def options_of(section: Any) -> Options:
    """The options in a bus section: any object with their names as attributes, and None for left out.

    Raises ValueError as `Options` does.
    """
    return Options(
        **{
            field.name: value
            for field in fields(Options)
            if (value := getattr(section, field.name, None)) is not None
        }
    )
