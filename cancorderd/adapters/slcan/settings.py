"""Settings of an slcan bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.bus_settings import AdapterClaim, BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import shortened, written
from cancorderd.config.schema import RATE, Checked, Key

if TYPE_CHECKING:
    from collections.abc import Iterator


def _registers(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{4,8}", text):
        raise Mistake(
            f"{shortened(written(text))} is not 4 to 8 hexadecimal digits", 'Write btr = "031C" or such.'
        )
    return text.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlcanSettings(BusSettings):
    """A serial (LAWICEL) adapter."""

    interface: Annotated[Literal["slcan"], Key("A serial (LAWICEL) adapter.")]
    channel: Annotated[
        str | None,
        Key(
            "Path of the adapter's serial port; alternatively, serial names the adapter.",
            min_length=1, example="/dev/ttyACM0",
        ),
    ] = None  # fmt: skip
    serial: Annotated[
        str | None,
        Key(
            "Serial number of a USB adapter, which stays the same in any socket.",
            min_length=1, example="1205AA6",
        ),
    ] = None  # fmt: skip
    btr: Annotated[
        Annotated[str, Checked(_registers)] | None,
        Key("Bit timing registers for the command s, in hexadecimal, instead of bitrate.", example="031C"),
    ] = None
    hardware_timestamps: Annotated[
        bool, Key("true: use the adapter's time stamps (command Z1), if it has any.")
    ] = True
    tty_baudrate: Annotated[
        int,
        Key("Speed of the serial port in bit/s; adapters on USB ignore it.", RATE, gt=0, le=20_000_000),
    ] = 115_200

    def mistakes(self) -> Iterator[Mistake]:
        yield from BusSettings.mistakes(self)
        if (self.channel is None) == (self.serial is None):
            missing = self.channel is None
            fact = "the key is missing" if missing else "channel and serial both name the adapter"
            remedy = 'Write channel = "/dev/ttyACM0" or such, or serial = "1205AA6" or such.'
            yield Mistake(fact, remedy, "channel", ("serial",))

    @property
    def serial_number(self) -> str | None:
        return self.serial

    @property
    def adapter_name(self) -> str:
        return f"{self.interface} {self.serial if self.channel is None else self.channel}"

    @property
    def adapter_identity(self) -> str:
        return self.adapter_name

    @property
    def adapter_claim(self) -> AdapterClaim:
        if self.serial is None or self.channel is not None:
            return AdapterClaim("channel", written(self.channel), "channel")
        return AdapterClaim("serial", written(self.serial), "serial number")
