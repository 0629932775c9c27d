"""The keys of every bus, whatever its interface. Pure; see `model` for the rules."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from cancorderd.config import checks
from cancorderd.config.recording import Record  # noqa: TC001 - pydantic needs it
from cancorderd.config.section import (
    PORT,
    RATE,
    SIZE,
    TIME,
    Addresses,
    ArbitrationId,
    Listed,
    Network,
    Section,
    ServiceName,
)
from cancorderd.frame import MAX_EXTENDED_ID, MAX_STANDARD_ID

BUS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class Filter(Section):
    """Frames to pass on: those whose arbitration id equals `id` in the bits of `mask`."""

    id: ArbitrationId = Field(examples=[0x7E8], description="Arbitration id that a frame must have.")
    mask: ArbitrationId = Field(
        default=MAX_EXTENDED_ID, description="Bits of the arbitration id that must match; by default all."
    )
    extended: bool | None = Field(
        default=None,
        description="true: only 29-bit arbitration ids; false: only 11-bit ones; by default both.",
    )

    @model_validator(mode="after")
    def _standard_id(self) -> Self:
        if self.extended is False and self.id > MAX_STANDARD_ID:
            what = f"0x{self.id:X} is above 0x{MAX_STANDARD_ID:X}, the highest arbitration id of 11 bits"
            raise checks.mistake(what, "Write extended = true, or use a lower id.", "id")
        return self


class BusBase(Section):
    """The keys of every bus, whatever its interface."""

    name: str = Field(
        pattern=f"^{BUS_NAME.pattern}$", description="Name of the bus, from its table's header [bus.NAME]."
    )
    interface: str = Field(
        examples=["socketcan"],
        description="Kind of adapter: socketcan, slcan, toucan, mock, replay, auto, or any interface of python-can.",
    )
    channel: str | int | None = Field(
        default=None,
        examples=["can0"],
        description="Which adapter: what this means depends on the interface.",
    )
    enabled: bool = Field(default=True, description="false: the bus is checked and listed, but not started.")
    bitrate: int = Field(
        default=500_000,
        gt=0,
        le=1_000_000,
        json_schema_extra=RATE,
        description="Nominal bitrate in bit/s, at most 1000000.",
    )
    data_bitrate: int | None = Field(
        default=None,
        gt=0,
        le=8_000_000,
        examples=[2_000_000],
        json_schema_extra=RATE,
        description="Bitrate of CAN FD's data phase in bit/s, at most 8000000; needs fd = true.",
    )
    fd: bool = Field(default=False, description="true: the bus carries CAN FD frames.")
    prefer_fd: bool = Field(
        default=False,
        description="true: as fd, where the adapter has it and needs no data_bitrate (socketcan, python-can).",
    )
    sample_point: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        examples=[0.875],
        description="Sample point as a fraction of the bit time, 0 to 1; by default the adapter's choice.",
    )
    listen_only: bool = Field(default=False, description="true: the adapter does not acknowledge frames.")
    filters: Listed[Filter] = Field(
        default=(),
        examples=[[{"id": 0x7E8}]],
        description="Arbitration ids to pass on, as {id, mask, extended}; an empty list passes all.",
    )
    listen: Addresses = Field(
        default=("0.0.0.0", "::"),
        description="IP addresses on which clients can connect, by default all of this machine.",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        examples=[42420],
        json_schema_extra=PORT,
        description="TCP port for clients; by default the first free one from 42420, kept across restarts.",
    )
    allow: Listed[Network] = Field(
        default=(),
        examples=[["192.168.1.0/24"]],
        description="Networks from which clients may connect; an empty list allows all.",
    )
    max_clients: int = Field(
        default=32, ge=1, le=1024, description="How many clients may be connected at once."
    )
    client_backlog: int = Field(
        default=4 << 20,
        ge=64 << 10,
        le=1 << 30,
        json_schema_extra=SIZE,
        description="Bytes kept for a client that reads too slowly, from 65536 to 1073741824.",
    )
    slow_client: Literal["drop", "disconnect"] = Field(
        default="drop",
        description="What happens to a client past its backlog: drop (its frames) or disconnect.",
    )
    zeroconf: bool = Field(default=True, description="true: the bus is announced on the network by Zeroconf.")
    service_name: ServiceName | None = Field(
        default=None,
        examples=["ECUconnect-Logger my car"],
        description="Name to announce by Zeroconf, at most 63 bytes, beginning with ECUconnect-Logger.",
    )
    silence_timeout: float | None = Field(
        default=None,
        gt=0,
        examples=[5.0],
        json_schema_extra=TIME,
        description="Seconds without a frame after which the adapter is opened anew; by default never.",
    )
    watchdog: float = Field(
        default=10.0,
        ge=2,
        json_schema_extra=TIME,
        description="Seconds without a heartbeat after which the worker process is replaced, at least 2.",
    )

    record: Record | None = Field(
        default=None,
        examples=[{"format": "blf"}],
        description="Records the bus's frames in files, as the table [bus.NAME.record] says; by default nothing is.",
    )

    @model_validator(mode="after")
    def _data_bitrate_needs_fd(self) -> Self:
        if self.data_bitrate is not None and not self.fd:
            what = f"{self.data_bitrate} is set, but the bus has no CAN FD"
            raise checks.mistake(what, "Write fd = true, or remove data_bitrate.", "data_bitrate")
        return self
