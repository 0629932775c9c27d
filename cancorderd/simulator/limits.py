"""Limits of a simulation: arbitration ids, traffic and patterns that do not fit together. Pure.

Both the options of a simulation and the settings of a mock bus are checked here. The supervisor validates
settings, so this module imports nothing else of the simulator but `frame_duration`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from cancorderd.protocol.frame import (
    BRS,
    CLASSIC_MAX_LENGTH,
    DLC_LENGTHS,
    EXTENDED,
    FD,
    MAX_EXTENDED_ID,
    MAX_STANDARD_ID,
)
from cancorderd.simulator.frame_duration import duration_s

BACKGROUND_SHARE = 0.8
"""Largest share of the bus for background traffic: its ids win over the high ids of diagnosis."""

BACKGROUND_IDS = frozenset({
    0x0A8, 0x0B2, 0x0B4, 0x0FD, 0x106, 0x116, 0x130, 0x1A0, 0x20A, 0x21E, 0x2C1, 0x30B, 0x366, 0x3C0, 0x3D5,
    0x4A1, 0x500, 0x501, 0x505, 0x50C,
})  # fmt: skip
"""Arbitration ids of `background_traffic`."""

DEFAULT_DATA_BITRATE = 2_000_000
"""Bitrate of CAN FD's data phase if the options have none."""

Pattern = Literal["numbered", "quality"]
"""Frames in place of the simulation: numbered, or those of CANcorder's quality test."""
PATTERN_IDS: dict[Pattern, int] = {"numbered": 0x100, "quality": 0x700}
"""Arbitration id of each pattern if the options have none."""
PATTERN_RATE = 1000.0
"""Frames per second of a pattern if the options have no rate."""
QUALITY_FD_LENGTHS = (32, 48, 64)
"""Lengths of CAN FD that hold a frame of the quality test (28 bytes and more). With 8 bytes it is a classic frame."""


class DiagnosticIds(NamedTuple):
    """Arbitration ids of the tester's requests, the ECU's answers, and requests to all ECUs."""

    tester: int
    ecu: int
    functional: int


# ISO 15765-4, tables 4 and 5: 11-bit ids, and 29-bit ids of ECU 0x10 and tester 0xF1.
STANDARD_IDS = DiagnosticIds(0x7E0, 0x7E8, 0x7DF)
EXTENDED_IDS = DiagnosticIds(0x18DA_10F1, 0x18DA_F110, 0x18DB_33F1)


class Limited(Protocol):
    """Options whose limits are checked."""

    @property
    def tester_id(self) -> int | None: ...
    @property
    def ecu_id(self) -> int | None: ...
    @property
    def extended(self) -> bool: ...
    @property
    def background(self) -> float: ...
    @property
    def speed(self) -> float: ...
    @property
    def fd(self) -> bool: ...
    @property
    def bitrate(self) -> int: ...
    @property
    def data_bitrate(self) -> int | None: ...
    @property
    def pattern(self) -> Pattern | None: ...
    @property
    def id(self) -> int | None: ...
    @property
    def length(self) -> int | None: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def burst(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def test_id(self) -> int | None: ...


class Refusal(NamedTuple):
    """The option that does not fit, the reason and the remedy."""

    key: str
    fact: str
    remedy: str


def diagnostic_ids(options: Limited) -> DiagnosticIds:
    """Return the arbitration ids of diagnosis; None in the options stands for the usual ids."""
    usual = EXTENDED_IDS if options.extended else STANDARD_IDS
    return DiagnosticIds(
        usual.tester if options.tester_id is None else options.tester_id,
        usual.ecu if options.ecu_id is None else options.ecu_id,
        usual.functional,
    )


def bus_flags(options: Limited) -> int:
    """Return the flags of every frame on this bus."""
    return FD | BRS if options.fd else 0


def max_background(options: Limited) -> int:
    """Return the highest `background` that leaves the bus to diagnosis."""
    data_bitrate = options.data_bitrate or DEFAULT_DATA_BITRATE
    return int(
        BACKGROUND_SHARE * options.speed / duration_s(bus_flags(options), 8, options.bitrate, data_bitrate)
    )


def refused_id(options: Limited) -> Refusal | None:
    """Return the reason why the arbitration ids cannot be used, or None if they can."""
    ids = diagnostic_ids(options)
    highest, bits = (MAX_EXTENDED_ID, 29) if options.extended else (MAX_STANDARD_ID, 11)
    for key, value in (("tester_id", ids.tester), ("ecu_id", ids.ecu)):
        if not 0 <= value <= highest:
            fact = f"0x{value:X} is no arbitration id of {bits} bits"
            alternative = "" if options.extended else ", or set extended = true"
            return Refusal(key, fact, f"Use an id up to 0x{highest:X}{alternative}.")
        if options.background and value in BACKGROUND_IDS:
            return Refusal(key, f"0x{value:X} is also an id of the background traffic", "Use another.")
        if value == ids.functional:
            return Refusal(key, f"0x{value:X} is the id of requests to all ECUs", "Use another.")
    if ids.tester == ids.ecu:
        fact = f"0x{ids.ecu:X} is also the tester's arbitration id"
        return Refusal("ecu_id", fact, "Use two different ids such as 0x7E0 and 0x7E8.")
    return None


def refused_load(options: Limited) -> Refusal | None:
    """Return the reason why the bus cannot carry the background traffic, or None if it can."""
    highest = max_background(options)
    if options.background <= highest:
        return None
    return Refusal(
        "background",
        f"{options.background:g} is above {highest}, the frames/s that the bus carries beside diagnosis",
        "Use fewer, a higher bitrate, or rate, which ignores the bitrate.",
    )


def pattern_of(options: Limited) -> Pattern | None:
    """Return the pattern that replaces the simulation, or None. A rate alone means numbered frames."""
    return options.pattern or ("numbered" if options.rate else None)


def pattern_flags(options: Limited, pattern: Pattern) -> int:
    """Return the flags of the pattern's frames."""
    classic = pattern == "quality" and pattern_length(options, pattern) == CLASSIC_MAX_LENGTH
    return (0 if classic else bus_flags(options)) | (EXTENDED if options.extended else 0)


def pattern_id(options: Limited, pattern: Pattern) -> int:
    return PATTERN_IDS[pattern] if options.id is None else options.id


def pattern_length(options: Limited, pattern: Pattern) -> int:
    """Return the bytes of the pattern's frames."""
    usual = DLC_LENGTHS[-1] if options.fd and pattern == "quality" else CLASSIC_MAX_LENGTH
    return usual if options.length is None else options.length


def pattern_lengths(options: Limited, pattern: Pattern) -> tuple[int, ...]:
    """Return the lengths that the pattern's frames can have on this bus."""
    if pattern == "quality":
        return (CLASSIC_MAX_LENGTH, *(QUALITY_FD_LENGTHS if options.fd else ()))
    return tuple(length for length in DLC_LENGTHS[1:] if options.fd or length <= CLASSIC_MAX_LENGTH)


def refused_pattern(options: Limited) -> Refusal | None:
    """Return the reason why the pattern cannot be sent, or None if it can or there is none."""
    pattern = pattern_of(options)
    if pattern is None:
        return _refused_without_pattern(options)
    if options.rate == 0:
        return Refusal("rate", "0 frames/s are no pattern", f"Use a rate such as {PATTERN_RATE:.0f}.")
    highest = MAX_EXTENDED_ID if options.extended else MAX_STANDARD_ID
    if not 0 <= (arbitration_id := pattern_id(options, pattern)) <= highest:
        alternative = "" if options.extended else ", or write extended = true"
        fact = f"0x{arbitration_id:X} is above 0x{highest:X}, the highest arbitration id here"
        return Refusal("id", fact, f"Use a lower one{alternative}.")
    if options.test_id is not None and pattern != "quality":
        return Refusal(
            "test_id",
            f"frames of the pattern {pattern} have none",
            'Remove it, or write pattern = "quality".',
        )
    return _refused_length(options, pattern)


def _refused_without_pattern(options: Limited) -> Refusal | None:
    idle = {
        "id": options.id is not None,
        "length": options.length is not None,
        "burst": options.burst != 1,
        "count": options.count != 0,
        "test_id": options.test_id is not None,
    }
    for key, given in idle.items():
        if given:
            fact = "it is for a pattern, and this bus simulates diagnosis"
            pattern = "quality" if key == "test_id" else "numbered"
            return Refusal(key, fact, f'Write pattern = "{pattern}", or remove it.')
    return None


def _refused_length(options: Limited, pattern: Pattern) -> Refusal | None:
    length, lengths = pattern_length(options, pattern), pattern_lengths(options, pattern)
    if length in lengths:
        return None
    if not options.fd and CLASSIC_MAX_LENGTH < length <= DLC_LENGTHS[-1]:
        fact = f"{length} bytes do not fit a classic frame"
        return Refusal("length", fact, f"Write fd = true, or use a length up to {CLASSIC_MAX_LENGTH}.")
    *most, last = map(str, lengths)
    kind = "a frame of the quality test" if pattern == "quality" else "a frame"
    fact = f"{length} is no length of {kind} on this bus"
    return Refusal("length", fact, f"Use {', '.join(most)} or {last}." if most else f"Use {last}.")
