"""Settings of a mock bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.bus_settings import BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.schema import ARBITRATION_ID, MAX_INTEGER, MIN_INTEGER, Key
from cancorderd.protocol.frame import MAX_EXTENDED_ID

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class MockSettings(BusSettings):
    """A simulated ECU and the tester that talks to it: no hardware."""

    interface: Annotated[Literal["mock"], Key("A simulated ECU and tester.")]
    channel: Annotated[str, Key("Any text; it is only shown to clients.", min_length=1)] = "mock"
    tester_id: Annotated[
        int | None,
        Key(
            "Arbitration id of the tester's requests; by default 0x7E0, with extended 0x18DA10F1.",
            ARBITRATION_ID, ge=0, le=MAX_EXTENDED_ID, example=0x7E0,
        ),
    ] = None  # fmt: skip
    ecu_id: Annotated[
        int | None,
        Key(
            "Arbitration id of the ECU's answers; by default 0x7E8, with extended 0x18DAF110.",
            ARBITRATION_ID, ge=0, le=MAX_EXTENDED_ID, example=0x7E8,
        ),
    ] = None  # fmt: skip
    extended: Annotated[bool, Key("true: diagnosis on 29-bit arbitration ids.")] = False
    speed: Annotated[float, Key("Speed relative to a real ECU, up to 1000.", gt=0, le=1000)] = 1.0
    loop: Annotated[
        bool, Key("false: one session for each client, and nothing between sessions.")
    ] = True  # fmt: skip
    start: Annotated[
        Literal["client", "always"],
        Key("When frames begin: client (at the first client's connection) or always."),
    ] = "client"
    seed: Annotated[
        int | None,
        Key(
            "Number that makes the simulation repeatable; by default it varies.",
            ge=MIN_INTEGER, le=MAX_INTEGER, example=1,
        ),
    ] = None  # fmt: skip
    background: Annotated[
        float,
        Key(
            "Frames per second of cyclic ids beside diagnosis, as on a body bus; at most 80 % of the bus.",
            ge=0, example=500,
        ),
    ] = 0  # fmt: skip
    pattern: Annotated[
        Literal["numbered", "quality"] | None,
        Key(
            "Frames in place of everything else, for measuring: numbered, or quality (those of CANcorder's quality "
            "test). By default numbered if there is a rate, else the simulation.",
            example="numbered",
        ),
    ] = None
    rate: Annotated[
        float | None,
        Key("Frames per second of the pattern; by default 1000.", ge=0, le=10_000_000, example=9009),
    ] = None
    id: Annotated[
        int | None,
        Key(
            "Arbitration id of the pattern; by default 0x100 for numbered, 0x700 for quality.",
            ARBITRATION_ID, ge=0, le=MAX_EXTENDED_ID, example=0x123,
        ),
    ] = None  # fmt: skip
    length: Annotated[
        int | None,
        Key(
            "Bytes of each frame of the pattern: 1 to 8, with fd also 12, 16, 20, 24, 32, 48, 64; quality has 8, with fd "
            "also 32, 48, 64. By default 8; quality with fd 64.",
            ge=1, le=64, example=8,
        ),
    ] = None  # fmt: skip
    burst: Annotated[
        int, Key("Frames of the pattern that come at once; rate stays the average.", ge=1, le=10_000)
    ] = 1
    count: Annotated[
        int,
        Key(
            "Frames of the pattern until it pauses; a client that connects then gets as many. 0: no end.",
            ge=0, le=1 << 62,
        ),
    ] = 0  # fmt: skip
    test_id: Annotated[
        int | None, Key("Number of the test in frames of quality; by default 0.", ge=0, le=255, example=1)
    ] = None
    busy_rate: Annotated[
        float, Key("Chance that a request is answered busy (0x21), 0 to 1.", ge=0, le=1)
    ] = 0.03  # fmt: skip
    conditions_rate: Annotated[
        float, Key("Chance that conditions are not correct in a session (0x22), 0 to 1.", ge=0, le=1)
    ] = 0.02
    wrong_key_rate: Annotated[float, Key("Chance that a key is wrong (0x35), 0 to 1.", ge=0, le=1)] = 0.15
    transfer_error_rate: Annotated[
        float, Key("Chance that a block of data fails (0x71, 0x72, 0x73), 0 to 1.", ge=0, le=1)
    ] = 0.005
    slip_rate: Annotated[
        float,
        Key("Chance that the tester asks too early or for too much (0x24, 0x31, 0x33), 0 to 1.", ge=0, le=1),
    ] = 0.10

    def mistakes(self) -> Iterator[Mistake]:
        from cancorderd.simulator import limits  # noqa: PLC0415 - only a mock bus needs them

        yield from BusSettings.mistakes(self)
        if refusal := limits.refused_id(self):
            yield Mistake(refusal.fact, refusal.remedy, refusal.key, ("tester_id", "extended", "background"))
        if refusal := limits.refused_load(self):
            yield Mistake(
                refusal.fact, refusal.remedy, refusal.key, ("speed", "fd", "bitrate", "data_bitrate")
            )
        if refusal := limits.refused_pattern(self):
            yield Mistake(refusal.fact, refusal.remedy, refusal.key, ("pattern", "rate", "fd", "extended"))

    @property
    def adapter_name(self) -> None:
        return None

    @property
    def adapter_identity(self) -> None:
        return None
