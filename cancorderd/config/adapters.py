"""What each kind of adapter adds to the keys of every bus. Pure; see `model` for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cancorderd.config import checks
from cancorderd.config.bus import BusBase
from cancorderd.config.section import MILLISECONDS, RATE, Listed

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MAX_DEVICE_NAME = 15
"""Characters of a network interface's name on Linux (IFNAMSIZ less the closing zero)."""


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


class PythonCanBus(BusBase):
    """Any interface of python-can that has no source of its own here."""

    interface: str = Field(min_length=1, description="Name of the interface in python-can.")
    channel: Annotated[str | int | None, BeforeValidator(checks.channel)] = Field(
        default=None, examples=[0], description="Channel as python-can's interface counts or names it."
    )
    options: Annotated[dict[str, Any], AfterValidator(checks.options)] = Field(
        default={}, examples=[{"index": 0}], description="Further arguments of can.Bus, as {name = value}."
    )


def _added_keys(section: type[BusBase]) -> dict[str, Any]:
    """What a section has beside the keys of every bus, with its defaults."""
    added = {
        key: field.default for key, field in section.model_fields.items() if key not in BusBase.model_fields
    }
    channel = section.model_fields["channel"]
    return added if channel.is_required() else {**added, "channel": channel.default}


class AutoBus(BusBase):
    """The first adapter that works, of those that no other bus names."""

    interface: Literal["auto"] = Field(
        description="The first adapter that works: gs_usb, slcan, then CAN interfaces that are up."
    )
    channel: None = Field(default=None, description="Nothing: the bus finds its adapter by itself.")
    taken: Listed[str] = Field(
        default=(), description="Adapters that other buses name: `clashes.named_adapters`."
    )
    kinds: dict[str, dict[str, Any]] = Field(
        default={
            "gs_usb": _added_keys(GsUsbBus),
            "slcan": _added_keys(SlcanBus),
            "socketcan": _added_keys(SocketcanBus),
        },
        description="What each interface that may be found adds, for a worker, which knows no sections.",
    )

    @classmethod
    def key_fields(cls) -> dict[str, FieldInfo]:
        return {key: field for key, field in super().key_fields().items() if key != "channel"}
