"""Settings of a bus: the keys that every bus has, whatever its interface. Pure; see `schema` for the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from cancorderd.config import value_checks
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import written
from cancorderd.config.record_settings import RecordSettings
from cancorderd.config.schema import (
    ARBITRATION_ID,
    PORT,
    RATE,
    SIZE,
    TIME,
    Addresses,
    Checked,
    Key,
    Listed,
    Network,
    ServiceName,
    Settings,
)
from cancorderd.protocol.frame import MAX_EXTENDED_ID, MAX_STANDARD_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

BUS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(Settings):
    """Frames to pass on: those whose arbitration id equals `id` in the bits of `mask`."""

    id: Annotated[
        int,
        Key(
            "Arbitration id that a frame must have.",
            ARBITRATION_ID, ge=0, le=MAX_EXTENDED_ID, example=0x7E8,
        ),
    ]  # fmt: skip
    mask: Annotated[
        int,
        Key(
            "Bits of the arbitration id that must match; by default all.",
            ARBITRATION_ID, ge=0, le=MAX_EXTENDED_ID,
        ),
    ] = MAX_EXTENDED_ID  # fmt: skip
    extended: Annotated[
        bool | None,
        Key("true: only 29-bit arbitration ids; false: only 11-bit arbitration ids; by default both."),
    ] = None

    def mistakes(self) -> Iterator[Mistake]:
        if self.extended is False and self.id > MAX_STANDARD_ID:
            fact = f"0x{self.id:X} is above 0x{MAX_STANDARD_ID:X}, the highest arbitration id of 11 bits"
            yield Mistake(fact, "Write extended = true, or use a lower id.", "id", ("extended",))


class AdapterClaim(NamedTuple):
    """The words for a conflict of two buses that have one adapter: "`shown` is also the `relation` of bus.a. `remedy`"."""

    key: str
    """The key at fault."""
    shown: str
    relation: str
    remedy: str = "Use another, or write enabled = false in one of the two."


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings(Settings):
    """The keys of every bus, whatever its interface."""

    nested: ClassVar[dict[str, type[Settings]]] = {"filters": Filter, "record": RecordSettings}

    name: str
    """From the header of the bus's table, [bus.NAME]."""
    interface: Annotated[
        str,
        Key(
            "Kind of adapter, such as socketcan, slcan or mock, or any interface of python-can.",
            example="socketcan",
        ),
    ]
    channel: Annotated[
        str | int | None,
        Key("Which adapter, or which channel of it; the meaning depends on the interface.", example="can0"),
    ] = None
    enabled: Annotated[bool, Key("false: the bus is checked and listed, but not started.")] = True
    bitrate: Annotated[int, Key("Nominal bitrate in bit/s, at most 1000000.", RATE, gt=0, le=1_000_000)] = (
        500_000
    )
    data_bitrate: Annotated[
        int | None,
        Key(
            "Bitrate of CAN FD's data phase in bit/s, at most 8000000; needs fd = true.",
            RATE, gt=0, le=8_000_000, example=2_000_000,
        ),
    ] = None  # fmt: skip
    fd: Annotated[bool, Key("true: the adapter is set up for CAN FD frames.")] = False
    prefer_fd: bool = False
    """For the one-bus commands: as `fd`, if a driver of python-can has CAN FD and needs no data_bitrate."""
    resume: str = ""
    """Where the source of an earlier worker ended (`Source.position`), if the bus can go on there."""
    sample_point: Annotated[
        float | None,
        Key(
            "Sample point as a fraction of the bit time, 0 to 1; by default the adapter's choice.",
            gt=0, lt=1, example=0.875,
        ),
    ] = None  # fmt: skip
    listen_only: Annotated[bool, Key("true: the adapter does not acknowledge frames.")] = False
    filters: Annotated[
        Listed[Filter],
        Key("Arbitration ids to pass on, as {id, mask, extended}; an empty list passes all.", example=[{"id": 0x7E8}]),
    ] = ()  # fmt: skip
    listen: Annotated[
        Addresses, Key("IP addresses on which clients can connect, by default all of this machine.")
    ] = ("0.0.0.0", "::")
    port: Annotated[
        int | None,
        Key(
            "TCP port for clients; by default the first free port from 42420, kept across restarts.",
            PORT, ge=1, le=65535, example=42420,
        ),
    ] = None  # fmt: skip
    allow: Annotated[
        Listed[Network],
        Key("Networks from which clients may connect; an empty list allows all.", example=["192.168.1.0/24"]),
    ] = ()
    max_clients: Annotated[
        int, Key("Number of clients that may be connected at the same time.", ge=1, le=1024)
    ] = 32
    max_clients_per_host: Annotated[
        int | None,
        Key(
            "Number of these clients that may come from one IP address, except from this machine's loopback; by default "
            "any.",
            ge=1, le=1024, example=4,
        ),
    ] = None  # fmt: skip
    client_backlog: Annotated[
        int,
        Key(
            "Bytes kept for a client that reads too slowly, from 65536 to 1073741824.",
            SIZE, ge=64 << 10, le=1 << 30,
        ),
    ] = 4 << 20  # fmt: skip
    slow_client: Annotated[
        Literal["drop", "disconnect"],
        Key("What happens to a client past its backlog: drop (its frames) or disconnect."),
    ] = "drop"
    zeroconf: Annotated[bool, Key("true: the bus is announced on the network by Zeroconf.")] = True
    service_name: Annotated[
        ServiceName | None,
        Key(
            "Name to announce by Zeroconf, beginning with ECUconnect-Logger; {host}, {port} and {bus} stand for the "
            "names and the number. A name of more than 63 bytes is cut at {host}. By default "
            '"ECUconnect-Logger {bus} {host}:{port}".',
            example="ECUconnect-Logger my car",
        ),
    ] = None
    silence_timeout: Annotated[
        float | None,
        Key(
            "Seconds without a frame after which the adapter is opened again; by default never.",
            TIME, gt=0, example=5.0,
        ),
    ] = None  # fmt: skip
    watchdog: Annotated[
        float,
        Key(
            "Seconds without a heartbeat after which the worker process is replaced, at least 2. They count from its "
            "first heartbeat, for which it has 60 s, and start over if cancorderd itself stood still.",
            TIME, ge=2,
        ),
    ] = 10.0  # fmt: skip
    database: Annotated[
        Annotated[str, Checked(value_checks.database_file)] | None,
        Key(
            "Database of the bus's signals (.dbc, .kcd, .sym, .arxml), relative to this file's folder, for dump and the "
            "status page; frames are sent as they are.",
            example="/etc/cancorder.d/car.dbc", relative_path=True,
        ),
    ] = None  # fmt: skip
    record: Annotated[
        RecordSettings | None,
        Key(
            "Recording of the bus's frames in files, see the table [bus.NAME.record]; by default nothing is recorded.",
            example={"format": "blf"},
        ),
    ] = None
    forward: Annotated[
        bool,
        Key("false: the bus's frames are not forwarded to the hub of [forward], if the file has this table."),
    ] = True

    def mistakes(self) -> Iterator[Mistake]:
        if self.data_bitrate is not None and not self.fd:
            fact = f"{self.data_bitrate} is set, but the bus has no CAN FD"
            yield Mistake(fact, "Write fd = true, or remove data_bitrate.", "data_bitrate", ("fd",))

    @property
    def recorded(self) -> bool:
        """True if the bus is recorded."""
        return self.record is not None and self.record.enabled

    @property
    def forwardable(self) -> bool:
        """True if the bus is forwarded to a hub, where there is one."""
        return self.forward and self.interface != "nats"

    @property
    def serial_number(self) -> str | None:
        """The serial number by which the bus names its adapter, or None."""
        return None

    @property
    def adapter_name(self) -> str | None:
        """Interface and channel or serial number, which `auto` leaves to this bus; None: no adapter.

        The interface alone if the bus may mean any adapter of this interface.
        """
        return self.interface if self.channel is None else f"{self.interface} {self.channel}"

    @property
    def adapter_identity(self) -> str | None:
        """Text that differs for different adapters; None if any number of buses can have the same adapter."""
        return f"{self.interface} {self.channel}"

    @property
    def adapter_claim(self) -> AdapterClaim:
        """The words for a conflict with another bus that has the same `adapter_identity`."""
        default = f"the default channel of interface {self.interface}"
        return AdapterClaim("channel", default if self.channel is None else written(self.channel), "channel")
