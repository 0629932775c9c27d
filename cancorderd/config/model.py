"""What a configuration can say: one section per table of the file, every key with unit and limits.

Pure: no files and no line numbers (`load`), no wording of mistakes (`checks`, `sentences`). The
descriptions are the manual's text. Times are seconds, sizes bytes, rates bit/s. A section survives
`model_dump(mode="json")`, which is what its worker receives: addresses and networks are text.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from cancorderd.config import checks
from cancorderd.config.section import (
    ARBITRATION_ID,
    MILLISECONDS,
    PORT,
    RATE,
    SIZE,
    TIME,
    AbsolutePath,
    Addresses,
    ArbitrationId,
    Listed,
    Network,
    Section,
    ServiceName,
    SocketPath,
)
from cancorderd.frame import MAX_EXTENDED_ID, MAX_STANDARD_ID
from cancorderd.simulator.options import options_of

Chance = Annotated[float, Field(ge=0, le=1)]

BUS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
MAX_DEVICE_NAME = 15
"""Characters of a network interface's name on Linux (IFNAMSIZ less the closing zero)."""


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
        description="Kind of adapter: socketcan, slcan, toucan, mock, replay, or any interface of python-can.",
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

    @model_validator(mode="after")
    def _data_bitrate_needs_fd(self) -> Self:
        if self.data_bitrate is not None and not self.fd:
            what = f"{self.data_bitrate} is set, but the bus has no CAN FD"
            raise checks.mistake(what, "Write fd = true, or remove data_bitrate.", "data_bitrate")
        return self


class SocketcanBus(BusBase):
    """A CAN network interface of the Linux kernel."""

    interface: Literal["socketcan"] = Field(description="A CAN network interface of the Linux kernel.")
    channel: str = Field(
        min_length=1,
        max_length=MAX_DEVICE_NAME,
        examples=["can0"],
        description="Name of the network interface, as `ip link` shows it.",
    )
    configure: bool = Field(
        default=False,
        description="true: the link is set up as this bus says, and brought up; needs CAP_NET_ADMIN.",
    )
    restart_ms: int | None = Field(
        default=None,
        ge=0,
        le=60_000,
        examples=[100],
        json_schema_extra=MILLISECONDS,
        description="After how many ms the kernel restarts a controller that is bus-off, 0 for never;"
        " by default as the link has it. Needs configure = true.",
    )

    @model_validator(mode="after")
    def _restart_needs_configure(self) -> Self:
        if self.restart_ms is not None and not self.configure:
            what = f"{self.restart_ms} is set, but the link is not set up by this bus"
            raise checks.mistake(what, "Write configure = true, or remove restart_ms.", "restart_ms")
        return self


class SlcanBus(BusBase):
    """A serial (LAWICEL) adapter."""

    interface: Literal["slcan"] = Field(description="A serial (LAWICEL) adapter.")
    channel: str | None = Field(
        default=None,
        min_length=1,
        examples=["/dev/ttyACM0"],
        description="Path of the adapter's serial port; in its place, serial can name the adapter.",
    )
    serial: str | None = Field(
        default=None,
        min_length=1,
        examples=["1205AA6"],
        description="Serial number of a USB adapter, which stays when it is plugged in elsewhere.",
    )
    btr: Annotated[str, AfterValidator(checks.registers)] | None = Field(
        default=None,
        examples=["031C"],
        description="Bit timing registers for the command s, in hexadecimal, in place of bitrate.",
    )
    hardware_timestamps: bool = Field(
        default=True, description="true: the adapter's time stamps (command Z1), where it has them."
    )
    tty_baudrate: int = Field(
        default=115_200,
        gt=0,
        le=20_000_000,
        json_schema_extra=RATE,
        description="Speed of the serial port in bit/s; adapters on USB ignore it.",
    )

    @model_validator(mode="after")
    def _channel_or_serial(self) -> Self:
        if (self.channel is None) == (self.serial is None):
            what = (
                "the key is missing" if self.channel is None else "channel and serial both name the adapter"
            )
            remedy = 'Write channel = "/dev/ttyACM0" or such, or serial = "1205AA6" or such.'
            raise checks.mistake(what, remedy, "channel")
        return self


class GsUsbBus(BusBase):
    """A USB adapter with candleLight firmware or its kin."""

    interface: Literal["gs_usb"] = Field(
        description="A USB adapter with candleLight firmware or its kin (CANable, USB2CAN, CANnectivity)."
    )
    channel: int = Field(
        default=0, ge=0, le=255, description="Channel of an adapter that has several, from 0."
    )
    serial: str | None = Field(
        default=None,
        min_length=1,
        examples=["003A00265246501320393234"],
        description="Serial number of the adapter: stays the same wherever it is plugged in.",
    )
    index: int | None = Field(
        default=None,
        ge=0,
        examples=[0],
        description="Which of several adapters, from 0 in the order of their sockets; by default the first.",
    )
    bus: int | None = Field(
        default=None, ge=1, le=255, examples=[1], description="Number of the USB bus, as lsusb shows it."
    )
    address: int | None = Field(
        default=None,
        ge=1,
        le=127,
        examples=[5],
        description="Address on the USB bus, as lsusb shows it; changes with each replugging.",
    )
    detach_kernel_driver: bool = Field(
        default=False,
        description="true: an adapter that the kernel has as canX is taken from it while the bus runs.",
    )

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        chosen = [
            key
            for key, given in (
                ("serial", self.serial is not None),
                ("index", self.index is not None),
                ("bus", self.bus is not None or self.address is not None),
            )
            if given
        ]
        if len(chosen) > 1:
            what = f"the adapter is chosen by {' and '.join(chosen)}"
            raise checks.mistake(what, "Keep one of them, best serial.", chosen[-1])
        return self


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


class ToucanBus(BusBase):
    """A TouCAN adapter by Rusoku, through MacCAN's library."""

    interface: Literal["toucan"] = Field(description="A TouCAN adapter by Rusoku.")
    channel: int = Field(
        default=0, ge=0, le=7, description="Which adapter, counted from 0 as the library finds them, up to 7."
    )
    library: str | None = Field(
        default=None,
        min_length=1,
        examples=["/usr/local/lib/libUVCANTOU.dylib"],
        description=(
            "Path of the CAN API V3 library; by default /usr/local/lib/libUVCANTOU.dylib on macOS, "
            "libUVCANTOU.so elsewhere."
        ),
    )


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


class PythonCanBus(BusBase):
    """Any interface of python-can that has no source of its own here."""

    interface: str = Field(min_length=1, description="Name of the interface in python-can.")
    channel: Annotated[str | int | None, BeforeValidator(checks.channel)] = Field(
        default=None, examples=[0], description="Channel as python-can's interface counts or names it."
    )
    options: Annotated[dict[str, Any], AfterValidator(checks.options)] = Field(
        default={}, examples=[{"index": 0}], description="Further arguments of can.Bus, as {name = value}."
    )


OWN_SECTIONS: dict[str, type[BusBase]] = {
    "socketcan": SocketcanBus,
    "slcan": SlcanBus,
    "toucan": ToucanBus,
    "gs_usb": GsUsbBus,
    "mock": MockBus,
    "replay": ReplayBus,
}


def _tag(value: object) -> str:
    interface = value.get("interface") if isinstance(value, dict) else getattr(value, "interface", None)
    return interface if isinstance(interface, str) and interface in OWN_SECTIONS else "python-can"


Bus = Annotated[
    Annotated[SocketcanBus, Tag("socketcan")]
    | Annotated[SlcanBus, Tag("slcan")]
    | Annotated[ToucanBus, Tag("toucan")]
    | Annotated[GsUsbBus, Tag("gs_usb")]
    | Annotated[MockBus, Tag("mock")]
    | Annotated[ReplayBus, Tag("replay")]
    | Annotated[PythonCanBus, Tag("python-can")],
    Discriminator(_tag),
]


class Daemon(Section):
    """The supervisor's own settings: the table [daemon]."""

    control_socket: SocketPath = Field(
        default="/run/cancorder/control.sock",
        description="Path of the Unix socket for cancorderctl.",
    )
    state_dir: AbsolutePath = Field(
        default="/var/lib/cancorder", description="Folder in which automatic ports are remembered."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least serious messages to log: debug, info, warning or error."
    )


class Configuration(Section):
    """Everything that is in force: [defaults] are worked into the buses, which keep the files' order."""

    daemon: Daemon = Field(default=Daemon(), description="The daemon's own settings.")
    buses: Listed[Bus] = Field(default=(), description="The buses, in the order of the files.")
