"""Settings of a gs_usb bus. Pure; see `config.schema` for the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cancorderd.config.bus_settings import AdapterClaim, BusSettings
from cancorderd.config.mistake import Mistake
from cancorderd.config.problem import shortened, written
from cancorderd.config.schema import Checked, Key

if TYPE_CHECKING:
    from collections.abc import Iterator


def _socket(text: str) -> str:
    if not re.fullmatch(r"[0-9]+-[0-9]+(\.[0-9]+)*", text):
        raise Mistake(
            f"{shortened(written(text))} is no USB socket",
            'Write usb_port = "1-2.3" or such, as cancorderctl detect does.',
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class GsUsbSettings(BusSettings):
    """A USB adapter with candleLight firmware or compatible firmware."""

    interface: Annotated[
        Literal["gs_usb"],
        Key("A USB adapter with candleLight firmware or compatible firmware (CANable, USB2CAN, CANnectivity)."),
    ]  # fmt: skip
    channel: Annotated[int, Key("Channel of an adapter that has several, from 0.", ge=0, le=255)] = 0
    serial: Annotated[
        str | None,
        Key(
            "Serial number of the adapter, which stays the same in any socket.",
            min_length=1, example="003A00265246501320393234",
        ),
    ] = None  # fmt: skip
    usb_port: Annotated[
        Annotated[str, Checked(_socket)] | None,
        Key(
            "USB socket that the adapter is plugged into, as cancorderctl detect shows it; for adapters that have the same "
            "serial number.",
            example="1-2.3",
        ),
    ] = None  # fmt: skip
    index: Annotated[
        int | None,
        Key(
            "Which of several adapters, from 0 in the order of their sockets; by default the first.",
            ge=0, example=0,
        ),
    ] = None  # fmt: skip
    bus: Annotated[
        int | None, Key("Number of the USB bus, as lsusb shows it.", ge=1, le=255, example=1)
    ] = None  # fmt: skip
    address: Annotated[
        int | None,
        Key(
            "Address on the USB bus, as lsusb shows it; it changes with each replugging.",
            ge=1, le=127, example=5,
        ),
    ] = None  # fmt: skip
    detach_kernel_driver: Annotated[
        bool,
        Key("true: take the adapter from the kernel's driver (as canX) while the bus runs."),
    ] = False

    def mistakes(self) -> Iterator[Mistake]:
        yield from BusSettings.mistakes(self)
        by_place = self.bus is not None or self.address is not None
        ways = {
            "serial": self.serial is not None,
            "usb_port": self.usb_port is not None,
            "index": self.index is not None,
            "bus": by_place,
        }
        chosen = [key for key, given in ways.items() if given]
        if len(chosen) > 1:
            fact = f"the adapter is chosen by {' and '.join(chosen)}"
            yield Mistake(
                fact,
                "Keep one of them, best serial.",
                chosen[-1],
                tuple(chosen),
            )

    @property
    def serial_number(self) -> str | None:
        return self.serial

    @property
    def adapter_name(self) -> str:
        """Without a serial number or socket the bus may mean any gs_usb adapter."""
        name = self.serial or self.usb_port
        return f"{self.interface} {name}" if name is not None else self.interface

    @property
    def adapter_identity(self) -> str:
        """Without the channel, since one process holds all channels of an adapter."""
        return f"{self.interface} {self._choice()[1]}"

    @property
    def adapter_claim(self) -> AdapterClaim:
        key, words = self._choice()
        remedy = (
            "There is one bus per adapter; use interface socketcan for both channels, another adapter, or enabled = false in one "
            "of the two."
        )
        return AdapterClaim("channel" if self.channel else key, words, "adapter", remedy)

    def _choice(self) -> tuple[str, str]:
        """Return the key that chooses the adapter, and the adapter in words."""
        if self.serial is not None:
            return "serial", f"the adapter with serial number {written(self.serial)}"
        if self.usb_port is not None:
            return "usb_port", f"the adapter at usb {self.usb_port}"
        if self.bus is not None or self.address is not None:
            places = {"bus": self.bus, "address": self.address}
            words = " ".join(f"{key} {value}" for key, value in places.items() if value is not None)
            return ("address" if self.bus is None else "bus"), f"the adapter at {words}"
        return ("channel" if self.index is None else "index"), f"adapter number {self.index or 0}"
