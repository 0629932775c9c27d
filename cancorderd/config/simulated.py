"""What buses without an adapter add to the keys of every bus. Pure; see `model` for the rules."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cancorderd.config import checks
from cancorderd.config.bus import BusBase
from cancorderd.config.section import ARBITRATION_ID
from cancorderd.frame import MAX_EXTENDED_ID
from cancorderd.simulator.options import options_of

Chance = Annotated[float, Field(ge=0, le=1)]


class MockBus(BusBase):
    """A simulated ECU and the tester that talks to it: no hardware."""

    interface: Literal["mock"] = Field(description="A simulated ECU and tester.")
    channel: str = Field(
        default="mock", min_length=1, description="Any text: shown to clients, nothing more."
    )
    tester_id: int | None = Field(
        default=None,
        ge=0,
        le=MAX_EXTENDED_ID,
        json_schema_extra=ARBITRATION_ID,
        examples=[0x7E0],
        description="Arbitration id of the tester's requests; by default 0x7E0, with extended 0x18DA10F1.",
    )
    ecu_id: int | None = Field(
        default=None,
        ge=0,
        le=MAX_EXTENDED_ID,
        json_schema_extra=ARBITRATION_ID,
        examples=[0x7E8],
        description="Arbitration id of the ECU's answers; by default 0x7E8, with extended 0x18DAF110.",
    )
    extended: bool = Field(default=False, description="true: diagnosis on 29-bit arbitration ids.")
    speed: float = Field(
        default=1.0, gt=0, le=1000, description="How many times faster than a real ECU it goes, up to 1000."
    )
    loop: bool = Field(
        default=True, description="false: one session for each client, and nothing between sessions."
    )
    start: Literal["client", "always"] = Field(
        default="client",
        description="When frames begin: client (at the first client's connection) or always.",
    )
    seed: int | None = Field(
        default=None,
        examples=[1],
        description="Number that makes the simulation repeatable; by default it varies.",
    )
    background: float = Field(
        default=0,
        ge=0,
        examples=[500],
        description="Frames per second of cyclic ids beside diagnosis, as a body bus has; at most 80 % of the bus.",
    )
    rate: float = Field(
        default=0,
        ge=0,
        le=10_000_000,
        examples=[9009],
        description="Numbered frames per second in place of everything else, for measuring; 0: none.",
    )
    busy_rate: Chance = Field(
        default=0.03, description="Chance of a request to be answered busy (0x21), 0 to 1."
    )
    conditions_rate: Chance = Field(
        default=0.02,
        description="Chance of a session to meet conditions that are not correct (0x22), 0 to 1.",
    )
    wrong_key_rate: Chance = Field(default=0.15, description="Chance of a key to be wrong (0x35), 0 to 1.")
    transfer_error_rate: Chance = Field(
        default=0.005, description="Chance of a block of data to fail (0x71, 0x72, 0x73), 0 to 1."
    )
    slip_rate: Chance = Field(
        default=0.10,
        description="Chance of the tester to ask too early or too much (0x24, 0x31, 0x33), 0 to 1.",
    )

    @model_validator(mode="after")
    def _fits_the_simulation(self) -> Self:
        try:
            options_of(self)
        except ValueError as error:
            what, _, remedy = str(error).partition(". ")
            key = what.partition(" ")[0]
            raise checks.mistake(what.removeprefix(f"{key} is "), f"{remedy}.", key) from None
        return self


class ReplayBus(BusBase):
    """A log file, played at the pace at which it was recorded."""

    interface: Literal["replay"] = Field(description="A log file, played.")
    channel: str = Field(
        default="replay", min_length=1, description="Any text: shown to clients, nothing more."
    )
    file: str = Field(
        min_length=1,
        examples=["/var/lib/cancorder/drive.asc"],
        description="Log file that python-can reads (.asc, .blf, .log, ...), relative to this file's folder.",
    )
    speed: float = Field(default=1.0, gt=0, description="How many times faster than recorded it is played.")
    loop: bool = Field(default=False, description="true: begins anew at the end of the file.")
