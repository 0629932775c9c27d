"""The LAWICEL ASCII protocol of serial adapters (CAN232, CANUSB, CANable, USBtin): text to packets. Pure.

Lines end with CR; BEL is the adapter's "no". Frames: t/T data, r/R remote, d/D FD, b/B FD with bit rate switch
(CANable 2), lower case with 3 hexadecimal digits of id, upper case with 8; then one digit of DLC, the payload, and
four digits of time stamp where the adapter was told to (Z1).
"""

from __future__ import annotations

from binascii import Error as HexError
from binascii import unhexlify
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.errors import SettingsRefused
from cancorderd.frame import BRS, DLC_LENGTHS, EXTENDED, FD, MAX_EXTENDED_ID, MAX_STANDARD_ID, NOTHING, Batch
from cancorderd.sources import bit_timing
from cancorderd.sources.bit_timing import Limits
from cancorderd.sources.device_clock import DeviceClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from cancorderd.config.model import SlcanBus

CR = b"\r"
BEL = b"\a"

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

_KINDS = {b"t": 0, b"T": EXTENDED, b"d": FD, b"D": FD | EXTENDED, b"b": FD | BRS, b"B": FD | BRS | EXTENDED}
_LONGEST_LINE = 1 + 8 + 1 + 2 * 64 + 4
_STAMP_DIGITS = 4
_STAMP_WRAPS_MS = 60_000
"""LAWICEL CAN232 manual 3.0, command Z: milliseconds of the current minute."""
_MOST_HEADS = 8192
"""Ids times lengths of a busy bus; past it the cache starts over, so that noise cannot grow it."""

OVERRUN_FLAGS = 0x01 | 0x08
_WARNING_FLAG = 0x04
_PASSIVE_FLAG = 0x20

_STAMP = Struct(">Q")
_HEAD = Struct(">IBB")


class Decoder:
    """Text in, packets out. Counts what is no frame and finds its way again at the next CR."""

    def __init__(self, accepts: Callable[[int, bool], bool] = lambda _id, _extended: True) -> None:
        self.malformed = 0
        self.remote = 0
        self.refusals = 0
        """BELs: commands that the adapter did not take."""
        self.answers: list[bytes] = []
        """Lines that answer a command (V…, N…, F…); whoever asked takes them out."""
        self._accepts = accepts
        self._clock = DeviceClock(_STAMP_WRAPS_MS * 1000)
        self._rest = b""
        self._heads: dict[bytes, tuple[bytes, int, bool]] = {}

    def decode(self, text: bytes, timestamp_us: int) -> Batch:
        """The packets of every frame that `text` completes.

        `timestamp_us` is the time of arrival, which stamps all frames that bring no stamp of their own.
        Errors: what is no frame and no answer is counted in `malformed` and skipped.
        """
        if BEL in text:
            self.refusals += text.count(BEL)
            text = text.replace(BEL, CR)
        lines = (self._rest + text).split(CR)
        rest = lines.pop()
        # An endless line is no frame: what replaces it is none either, so it is counted once, at its CR.
        self._rest = rest if len(rest) <= _LONGEST_LINE else b"!"
        stamp = _STAMP.pack(timestamp_us)
        heads = self._heads
        packets = []
        for line in lines:
            known = heads.get(line[:5]) or heads.get(line[:10])
            if known is None:
                known = self._new_head(line)
                if known is None:
                    continue
            head, length, accepted = known
            try:
                payload = unhexlify(line[5 if line[0] > 0x60 else 10 : length])
                if len(line) != length:
                    stamp = self._adapter_stamp(line[length:], timestamp_us)
            except (HexError, ValueError):
                self.malformed += 1
                continue
            if accepted and len(line) >= length:
                packets.append(stamp + head + payload)
        return Batch(b"".join(packets), len(packets)) if packets else NOTHING

    def _adapter_stamp(self, digits: bytes, timestamp_us: int) -> bytes:
        """The time stamp behind a frame, mapped to the epoch. Raises ValueError for what is none."""
        milliseconds = int.from_bytes(unhexlify(digits))
        if len(digits) != _STAMP_DIGITS or milliseconds >= _STAMP_WRAPS_MS:
            raise ValueError(digits)
        return _STAMP.pack(self._clock.epoch_us(milliseconds * 1000, timestamp_us))

    def _new_head(self, line: bytes) -> tuple[bytes, int, bool] | None:
        """What the packets of frames that begin like `line` have in common: head, line length, accepted.

        None where the line is no data frame; then it is dealt with here.
        """
        kind = line[:1]
        flags = _KINDS.get(kind)
        if flags is None:
            self._other_line(kind, line)
            return None
        digits = 8 if flags & EXTENDED else 3
        try:
            arbitration_id = int.from_bytes(unhexlify(line[1 : 1 + digits].zfill(8)))
            code = unhexlify(b"0" + line[1 + digits : 2 + digits])[0]
        except (HexError, IndexError):
            self.malformed += 1
            return None
        highest = MAX_EXTENDED_ID if flags & EXTENDED else MAX_STANDARD_ID
        if arbitration_id > highest or (code > 8 and not flags & FD):
            self.malformed += 1
            return None
        length = DLC_LENGTHS[code]
        accepted = self._accepts(arbitration_id, bool(flags & EXTENDED))
        known = (_HEAD.pack(arbitration_id, flags, length), 2 + digits + 2 * length, accepted)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[line[: 2 + digits]] = known
        return known

    def _other_line(self, kind: bytes, line: bytes) -> None:
        if not line or line in (b"z", b"Z", b"\n"):
            return  # "yes" to a command
        if kind in (b"r", b"R") and len(line) in (5, 10, 5 + _STAMP_DIGITS, 10 + _STAMP_DIGITS):
            self.remote += 1
        elif kind in (b"V", b"N", b"F", b"v") and len(line) <= 1 + 16:
            self.answers = [*self.answers[-7:], line]
        else:
            self.malformed += 1


class Command(NamedTuple):
    """What is sent to the closed adapter; one that is not required may be refused."""

    text: bytes
    required: bool


def commands(section: SlcanBus) -> list[Command]:
    """What sets the closed adapter up and opens it. Raises SettingsRefused for what slcan cannot say."""
    setup = [Command(_bitrate_command(section), required=True)]
    if section.fd and section.data_bitrate:
        data_speed = DATA_BITRATE_COMMANDS.get(section.data_bitrate)
        if data_speed is None:
            raise SettingsRefused(
                f"slcan has no data_bitrate {section.data_bitrate}. "
                f"Use one of {_listed(DATA_BITRATE_COMMANDS)} (bit/s)."
            )
        setup.append(Command(data_speed, required=True))
    setup += [
        Command(text, required=False)
        for text in (b"Z1" if section.hardware_timestamps else b"Z0", b"V", b"N")
    ]
    return [*setup, Command(b"L" if section.listen_only else b"O", required=True)]


def _bitrate_command(section: SlcanBus) -> bytes:
    if section.btr:
        return b"s" + section.btr.encode()
    if command := BITRATE_COMMANDS.get(section.bitrate):
        return command
    registers = sja1000_registers(section.bitrate, section.sample_point)
    hint = f', or btr = "{registers}" if the adapter has an SJA1000' if registers else ""
    raise SettingsRefused(
        f"slcan has no bitrate {section.bitrate}. Use one of {_listed(BITRATE_COMMANDS)} (bit/s){hint}."
    )


def sja1000_registers(bitrate: int, sample_point: float | None) -> str | None:
    """BTR0 and BTR1 for the `s` command, or None where the 16 MHz of LAWICEL's SJA1000 cannot make the bitrate.

    SJA1000 data sheet, 6.5.1 and 6.5.2: a quantum is 2 (BRP + 1) ticks; every field holds its value less one.
    """
    timing = bit_timing.find(8_000_000, bitrate, sample_point, Limits(brp=64, tseg1=16, tseg2=8, sjw=4))
    if timing is None:
        return None
    return f"{(timing.sjw - 1) << 6 | (timing.brp - 1):02X}{(timing.tseg2 - 1) << 4 | (timing.tseg1 - 1):02X}"


def controller_state(flags: int) -> str:
    """Controller state of an F answer (LAWICEL CAN232 manual 3.0, command F)."""
    if flags & _PASSIVE_FLAG:
        return "error-passive"
    return "error-warning" if flags & _WARNING_FLAG else "error-active"


def _listed(table: dict[int, bytes]) -> str:
    return ", ".join(map(str, sorted(table)))
