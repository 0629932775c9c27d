"""The commands that set an slcan adapter up, and the settings that they can express. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cancorderd.adapters import bit_timing
from cancorderd.adapters.bit_timing import Limits
from cancorderd.adapters.failures import SettingsRefused

if TYPE_CHECKING:
    from cancorderd.adapters.slcan.settings import SlcanSettings

BITRATE_COMMANDS = {
    10_000: b"S0",
    20_000: b"S1",
    50_000: b"S2",
    100_000: b"S3",
    125_000: b"S4",
    250_000: b"S5",
    500_000: b"S6",
    800_000: b"S7",
    1_000_000: b"S8",
}
"""LAWICEL CAN232 manual 3.0, command Sn; nominal bit rate in bit/s."""
DATA_BITRATE_COMMANDS = {
    1_000_000: b"Y1",
    2_000_000: b"Y2",
    4_000_000: b"Y4",
    5_000_000: b"Y5",
    8_000_000: b"Y8",
}
"""CANable 2 slcan firmware, command Yn; data bit rate in bit/s."""


class Command(NamedTuple):
    """A command for the closed adapter, which may refuse it unless it is required."""

    text: bytes
    required: bool


def setup_commands(settings: SlcanSettings) -> list[Command]:
    """Return the commands that set the closed adapter up and open it.

    Raises SettingsRefused if slcan has no command for a setting.
    """
    setup = [Command(_bitrate_command(settings), required=True)]
    if settings.fd and settings.data_bitrate:
        data_speed = DATA_BITRATE_COMMANDS.get(settings.data_bitrate)
        if data_speed is None:
            raise SettingsRefused(
                f"slcan has no data_bitrate {settings.data_bitrate}. "
                f"Use one of {_listed(DATA_BITRATE_COMMANDS)} (bit/s)."
            )
        setup.append(Command(data_speed, required=True))
    setup += [
        Command(text, required=False)
        for text in (b"Z1" if settings.hardware_timestamps else b"Z0", b"V", b"N")
    ]
    return [*setup, Command(b"L" if settings.listen_only else b"O", required=True)]


def _bitrate_command(settings: SlcanSettings) -> bytes:
    if settings.btr:
        return b"s" + settings.btr.encode()
    if command := BITRATE_COMMANDS.get(settings.bitrate):
        return command
    registers = sja1000_registers(settings.bitrate, settings.sample_point)
    hint = f', or btr = "{registers}" if the adapter has an SJA1000' if registers else ""
    raise SettingsRefused(
        f"slcan has no bitrate {settings.bitrate}. Use one of {_listed(BITRATE_COMMANDS)} (bit/s){hint}."
    )


def sja1000_registers(bitrate: int, sample_point: float | None) -> str | None:
    """Return BTR0 and BTR1 for the `s` command; None if LAWICEL's SJA1000 cannot make the bitrate of its 16 MHz.

    SJA1000 data sheet, 6.5.1 and 6.5.2: a quantum is 2 (BRP + 1) ticks; every field holds its value less one.
    """
    timing = bit_timing.find(8_000_000, bitrate, sample_point, Limits(brp=64, tseg1=16, tseg2=8, sjw=4))
    if timing is None:
        return None
    return f"{(timing.sjw - 1) << 6 | (timing.brp - 1):02X}{(timing.tseg2 - 1) << 4 | (timing.tseg1 - 1):02X}"


def meaning(command: bytes) -> str:
    """Return the key that a command sets, or "open"."""
    return {b"S": "bitrate", b"s": "btr", b"Y": "data_bitrate", b"L": "listen_only"}.get(command[:1], "open")


def _listed(table: dict[int, bytes]) -> str:
    return ", ".join(map(str, sorted(table)))
