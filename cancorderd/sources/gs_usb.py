"""gs_usb: USB adapters with candleLight firmware and its kin (CANable, USB2CAN, BudgetCAN, CANnectivity).

`gs_usb_frames` says what goes over the cable, `usb_devices` finds the adapter, `usb_stream` reads it;
`GsUsbSource` here sets one channel up, and stops it again in order: firmware that is left running when
its host goes can stay deaf until it is replugged. For the same reason nothing here resets the USB
device: some firmware does not get over a reset that meets a frame half-way (candleLight_fw #301).
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

import usb.core
from gs_usb.gs_usb import GS_CAN_MODE_RESET, GS_CAN_MODE_START
from gs_usb.gs_usb_structures import DeviceBitTiming, DeviceCapability, DeviceInfo, DeviceMode

from cancorderd.errors import BusError, BusFailure, SettingsRefused
from cancorderd.frame import NOTHING, Batch
from cancorderd.sources import bit_timing
from cancorderd.sources import gs_usb_frames as wire
from cancorderd.sources.base import Counted
from cancorderd.sources.bit_timing import Limits, Timing
from cancorderd.sources.device_clock import DeviceClock
from cancorderd.sources.error_frames import BusOffWatch
from cancorderd.sources.filters import acceptance
from cancorderd.sources.usb_devices import Adapter, Choice, OpenAdapter, adapters, choose, failure
from cancorderd.sources.usb_stream import BulkReads, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cancorderd.config.model import Filter

_QUIET_S = 0.02
"""An adapter that has been stopped sends what it still holds within this."""


class GsUsbBus(Choice, Protocol):
    """The section of a gs_usb bus, as far as this source reads it."""

    channel: int | None
    """Which channel of the adapter, counted from 0."""
    bitrate: int
    data_bitrate: int | None
    fd: bool
    sample_point: float | None
    listen_only: bool
    filters: Sequence[Filter]
    detach_kernel_driver: bool


def mode_flags(section: GsUsbBus, features: int) -> int:
    """What the channel is started with. Raises SettingsRefused for what the adapter does not have."""
    wanted = ((section.listen_only, wire.LISTEN_ONLY, "listen_only"), (section.fd, wire.CAN_FD, "fd"))
    for asked, feature, key in wanted:
        if asked and not features & feature:
            what = "CAN FD" if key == "fd" else "listen-only mode"
            raise SettingsRefused(f"the adapter has no {what}. Write {key} = false, or use another adapter.")
    return sum(feature for asked, feature, _ in wanted if asked) | features & wire.HW_TIMESTAMP


def timing(capability: DeviceCapability, key: str, bitrate: int, sample_point: float | None) -> Timing:
    """Raises SettingsRefused where the adapter cannot be set to `bitrate`."""
    most = Limits(capability.brp_max, capability.tseg1_max, capability.tseg2_max, capability.sjw_max)
    least = Limits(capability.brp_min, capability.tseg1_min, capability.tseg2_min, 1)
    clock_hz, step = capability.fclk_can, max(1, capability.brp_inc)
    found = bit_timing.find(clock_hz, bitrate, sample_point, most, least, brp_step=step)
    if found is None:
        where = f" with sample_point {sample_point:g}" if sample_point else ""
        raise SettingsRefused(
            f"the adapter cannot do {key} {bitrate}{where}: its clock is {clock_hz / 1e6:g} MHz. "
            f"Use another {key}, such as 250000, 500000 or 1000000 (bit/s)."
        )
    return found


def timing_request(one: Timing) -> bytes:
    """A struct gs_device_bittiming, with the first segment divided as the kernel does."""
    prop_seg = one.tseg1 // 2
    phase_seg1 = one.tseg1 - prop_seg
    request: bytes = DeviceBitTiming(
        prop_seg, phase_seg1, one.tseg2, min(one.sjw, phase_seg1), one.brp
    ).pack()
    return request


def open_source(section: GsUsbBus) -> GsUsbSource:
    return GsUsbSource(section)


class GsUsbSource(Counted):
    """One channel of one adapter, running."""

    def __init__(self, section: GsUsbBus) -> None:
        super().__init__()
        self._channel: int = section.channel or 0
        self._bus_off = BusOffWatch()
        self._reads: BulkReads | None = None
        adapter = choose(adapters(), section)
        self._name = str(adapter)
        self._open: OpenAdapter | None = None
        try:
            self._open = OpenAdapter(adapter, detach_kernel_driver=section.detach_kernel_driver)
            self._start(self._open, section)
        except BaseException as error:
            self.close()
            if isinstance(error, usb.core.USBError):
                raise failure(adapter, error) from error
            if isinstance(error, StreamEnded):
                raise BusError(f"{adapter}: {error}") from error
            if isinstance(error, SettingsRefused):
                raise SettingsRefused(_named(adapter, error)) from error
            raise

    def fileno(self) -> int:
        return self._reads.fileno() if self._reads else -1

    def due(self, now_s: float) -> float | None:
        return 0.0 if self._reads and self._reads.ready else self._bus_off.due(now_s)

    def read(self, now_s: float) -> Batch:
        if self._reads is None:
            return NOTHING
        try:
            transfers = self._reads.take()
        except StreamEnded as end:
            what = "has been unplugged" if end.gone else f"does not answer any more ({end})"
            raise BusError(f"{self._name} {what}.") from end
        decoder = self._decoder
        batch = decoder.decode(transfers, time.time_ns() // 1000) if transfers else NOTHING
        self.error_frames = decoder.error_frames + decoder.malformed
        self.remote_frames = decoder.remote_frames
        self.lost_adapter = decoder.overflows
        self.controller = decoder.controller
        if self._bus_off.expired(self.controller, now_s):
            raise BusError(f"{self._name} is bus-off. Check bitrate, wiring and termination.")
        return batch

    def close(self) -> None:
        """Stop the channel while reads are still under way: what the adapter is just sending gets out."""
        opened, self._open = self._open, None
        reads, self._reads = self._reads, None
        if opened and reads:
            with contextlib.suppress(usb.core.USBError):
                opened.tell(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_RESET, 0).pack())
                reads.drain(_QUIET_S)
        if reads:
            reads.close()
        if opened:
            opened.close()

    def _start(self, opened: OpenAdapter, section: GsUsbBus) -> None:
        opened.tell(wire.HOST_FORMAT, 1, wire.BYTE_ORDER)
        info = DeviceInfo.unpack(opened.ask(wire.DEVICE_CONFIG, 1, 12))
        if self._channel > info.icount:
            raise SettingsRefused(
                f"the adapter has {info.icount + 1} channel(s), counted from 0. Correct channel {self._channel}."
            )
        capability = DeviceCapability.unpack(opened.ask(wire.BT_CONST, self._channel, 40))
        flags = mode_flags(section, capability.feature)
        timings = self._timings(opened, section, capability)
        stamped = bool(flags & wire.HW_TIMESTAMP)
        endpoint, packet = opened.endpoint()
        longest = wire.transfer_bytes(fd=section.fd, stamped=stamped)
        # Whole packets: an adapter that sends more than the buffer holds would end the transfer.
        self._reads = BulkReads(*opened.libusb, endpoint, -(-longest // packet) * packet)
        opened.tell(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_RESET, 0).pack())
        self._reads.drain(_QUIET_S)  # left over from whoever had it before
        for request, one in timings:
            opened.tell(request, self._channel, timing_request(one))
        opened.tell(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_START, flags).pack())
        clock = DeviceClock(wire.STAMP_MODULUS_US).epoch_us if stamped else None
        accepts = acceptance(section.filters) if section.filters else None
        self._decoder = wire.Decoder(self._channel, clock, accepts)
        self.controller = self._decoder.controller
        self.details = self._told(opened.adapter, info.fw_version, timings[0][1], capability.fclk_can)

    def _timings(
        self, opened: OpenAdapter, section: GsUsbBus, capability: DeviceCapability
    ) -> list[tuple[int, Timing]]:
        """Requests and what they set, in order."""
        timings = [(wire.BITTIMING, timing(capability, "bitrate", section.bitrate, section.sample_point))]
        if section.fd:
            if capability.feature & wire.HAS_BT_CONST_EXT:
                extended = opened.ask(wire.BT_CONST_EXT, self._channel, 72)
                # Features, clock and nominal limits once more, then the limits of the data phase.
                capability = DeviceCapability.unpack(extended[:8] + extended[40:])
            rate = section.data_bitrate or section.bitrate
            timings.append((wire.DATA_BITTIMING, timing(capability, "data_bitrate", rate, None)))
        return timings

    @staticmethod
    def _told(adapter: Adapter, firmware: int, nominal: Timing, clock_hz: int) -> dict[str, str]:
        rate, point = nominal.bitrate(clock_hz), 100 * nominal.sample_point
        return {
            "serial": adapter.serial or "",
            "usb": f"{adapter.place} (bus {adapter.bus}, address {adapter.address})",
            "firmware": str(firmware),
            "timing": f"{rate:.0f} bit/s, sample point {point:.1f} %",
        }


def _named(adapter: Adapter, error: BusFailure) -> str:
    """The sentence, beginning with which adapter it is about."""
    text = str(error)
    return text if text.startswith(str(adapter)) else f"{adapter}: {text}"
