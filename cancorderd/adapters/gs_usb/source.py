"""gs_usb: USB adapters with candleLight firmware and its kin (CANable, USB2CAN, BudgetCAN, CANnectivity).

`decoder` has the wire format, `usb_devices` finds and claims the adapter, `bulk_reads` reads it. `GsUsbSource` sets a
channel up, and stops it in order: firmware that is left running when its host goes away can stay deaf until it is
replugged. For the same reason nothing here resets the USB device: some firmware does not recover from a reset in the
middle of a frame (candleLight_fw #301).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import usb.core
from gs_usb.gs_usb import GS_CAN_MODE_RESET, GS_CAN_MODE_START
from gs_usb.gs_usb_structures import DeviceBitTiming, DeviceCapability, DeviceInfo, DeviceMode

from cancorderd.adapters import bit_timing
from cancorderd.adapters.base import BaseSource
from cancorderd.adapters.bit_timing import Limits, Timing
from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.adapters.error_frames import BusOffPatience
from cancorderd.adapters.failures import BusError, BusFailure, SettingsRefused, bus_off_reason
from cancorderd.adapters.filters import acceptance
from cancorderd.adapters.gs_usb import decoder as wire
from cancorderd.adapters.gs_usb.bulk_reads import BulkReads, StreamEnded
from cancorderd.adapters.gs_usb.usb_devices import ClaimedAdapter, UsbAdapter, adapters, choose, usb_failure
from cancorderd.host_clock import clocks_us
from cancorderd.protocol.batch import EMPTY_BATCH, Batch

if TYPE_CHECKING:
    from cancorderd.adapters.gs_usb.settings import GsUsbSettings

_NO_STAMPS = "missing: frames come without the time stamps that it announces"
_QUIET_S = 0.02
"""An adapter that has been stopped sends its last frames within this."""


def mode_flags(settings: GsUsbSettings, features: int) -> int:
    """Return the mode to start the channel with. Raises SettingsRefused if the adapter lacks a feature."""
    wanted = ((settings.listen_only, wire.LISTEN_ONLY, "listen_only"), (settings.fd, wire.CAN_FD, "fd"))
    for asked, feature, key in wanted:
        if asked and not features & feature:
            name = "CAN FD" if key == "fd" else "listen-only mode"
            raise SettingsRefused(f"the adapter has no {name}. Write {key} = false, or use another adapter.")
    return sum(feature for asked, feature, _ in wanted if asked) | features & wire.HW_TIMESTAMP


def timing(capability: DeviceCapability, key: str, bitrate: int, sample_point: float | None) -> Timing:
    """Return the bit timing for `bitrate`. Raises SettingsRefused if the adapter's clock cannot make it."""
    most = Limits(capability.brp_max, capability.tseg1_max, capability.tseg2_max, capability.sjw_max)
    # Zeros are limits that the firmware does not know.
    least = Limits(max(1, capability.brp_min), max(1, capability.tseg1_min), max(1, capability.tseg2_min), 1)
    clock_hz, step = capability.fclk_can, max(1, capability.brp_inc)
    found = bit_timing.find(clock_hz, bitrate, sample_point, most, least, brp_step=step)
    if found is None:
        point = f" with sample_point {sample_point:g}" if sample_point else ""
        raise SettingsRefused(
            f"the adapter cannot do {key} {bitrate}{point}: its clock is {clock_hz / 1e6:g} MHz. "
            f"Use another {key}, such as 250000, 500000 or 1000000 (bit/s)."
        )
    return found


def timing_request(chosen: Timing) -> bytes:
    """Return a struct gs_device_bittiming, with the first segment divided as the kernel does."""
    prop_seg = chosen.tseg1 // 2
    phase_seg1 = chosen.tseg1 - prop_seg
    request: bytes = DeviceBitTiming(
        prop_seg, phase_seg1, chosen.tseg2, min(chosen.sjw, phase_seg1), chosen.brp
    ).pack()
    return request


class GsUsbSource(BaseSource):
    """A running channel of an adapter."""

    def __init__(self, settings: GsUsbSettings) -> None:
        super().__init__()
        self._channel = settings.channel or 0
        self._bus_off = BusOffPatience()
        self._reads: BulkReads | None = None
        self._clock: DeviceClock | None = None
        self._rest: list[bytes] = []
        """Transfers that arrived while the channel was stopped."""
        adapter = choose(adapters(), settings)
        self._name = str(adapter)
        self._decoder = wire.GsUsbDecoder(self._channel)
        self._claimed: ClaimedAdapter | None = None
        self._stopped = False
        try:
            self._claimed = ClaimedAdapter(adapter, detach_kernel_driver=settings.detach_kernel_driver)
            self._start(self._claimed, settings)
        except BaseException as error:
            self.close()
            if isinstance(error, usb.core.USBError):
                raise usb_failure(adapter, error) from error
            if isinstance(error, StreamEnded):
                raise BusError(f"{adapter}: {error}") from error
            if isinstance(error, SettingsRefused | BusError):
                raise type(error)(_named(adapter, error)) from error
            raise

    def fileno(self) -> int:
        return self._reads.fileno() if self._reads else -1

    def due(self, now_s: float) -> float | None:
        return 0.0 if self._reads and self._reads.ready else self._bus_off.due(now_s)

    def read(self, now_s: float) -> Batch:
        if self._reads is None:
            return EMPTY_BATCH
        try:
            rest, self._rest = self._rest, []
            transfers = rest or self._reads.collect()
        except StreamEnded as end:
            fact = "has been unplugged" if end.gone else f"no longer answers ({end})"
            raise BusError(f"{self._name} {fact}.") from end
        decoder = self._decoder
        decoder.internal = self.internal
        batch = self._decoded(transfers) if transfers else EMPTY_BATCH
        self.error_frames = decoder.error_frames + decoder.malformed
        self.remote_frames = decoder.remote_frames
        self.lost_adapter = decoder.overflows
        self.controller = decoder.controller
        if self._bus_off.expired(self.controller, now_s) and not (batch.frames or batch.internal):
            raise BusError(bus_off_reason(self._name))
        return batch

    def _decoded(self, transfers: list[bytes]) -> Batch:
        now_us, monotonic_us = clocks_us()
        if self._clock is None:
            return self._decoder.decode(transfers, now_us)
        self._clock.observe_host(now_us, monotonic_us)
        batch = self._decoder.decode(transfers, now_us)
        if self._decoder.stamps_missing:
            self.report_clock(self._name, _NO_STAMPS)
            return batch
        batch = self._clock.checked(batch, now_us, monotonic_us)
        self.report_clock(self._name, self._clock.fault)
        return batch

    def stop(self) -> None:
        """Stop the channel while reads are still under way, so that the adapter can finish the frame it is sending."""
        if self._claimed and self._reads and not self._stopped:
            self._stopped = True
            with contextlib.suppress(usb.core.USBError):
                self._claimed.send(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_RESET, 0).pack())
                self._rest = self._reads.drain(_QUIET_S)

    def close(self) -> None:
        self.stop()
        claimed, self._claimed = self._claimed, None
        reads, self._reads = self._reads, None
        if reads:
            reads.close()
        if claimed:
            claimed.close()

    def _start(self, claimed: ClaimedAdapter, settings: GsUsbSettings) -> None:
        claimed.send(wire.HOST_FORMAT, 1, wire.BYTE_ORDER)
        info = DeviceInfo.unpack(_whole(claimed.ask(wire.DEVICE_CONFIG, 1, 12), 12))
        if self._channel > info.icount:
            raise SettingsRefused(
                f"the adapter has {info.icount + 1} channel(s), counted from 0. Correct channel {self._channel}."
            )
        capability = DeviceCapability.unpack(_whole(claimed.ask(wire.BT_CONST, self._channel, 40), 40))
        flags = mode_flags(settings, capability.feature)
        timings = self._timings(claimed, settings, capability)
        stamped = bool(flags & wire.HW_TIMESTAMP)
        endpoint, packet = claimed.endpoint()
        longest = wire.transfer_bytes(fd=settings.fd, stamped=stamped)
        # Whole USB packets: an adapter that sends more than the buffer holds would end the transfer.
        self._reads = BulkReads(*claimed.libusb, endpoint, -(-longest // packet) * packet)
        claimed.send(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_RESET, 0).pack())
        self._reads.drain(_QUIET_S)  # left over from its last user
        for request, chosen in timings:
            claimed.send(request, self._channel, timing_request(chosen))
        claimed.send(wire.MODE, self._channel, DeviceMode(GS_CAN_MODE_START, flags).pack())
        self._clock = DeviceClock(wire.STAMP_MODULUS_US) if stamped else None
        accepts = acceptance(settings.filters) if settings.filters else None
        self._decoder = wire.GsUsbDecoder(
            self._channel, self._clock.epoch_us if self._clock else None, accepts
        )
        self.controller = self._decoder.controller
        self.details = {
            "serial": claimed.adapter.serial or "",
            "usb": f"{claimed.adapter.place} (bus {claimed.adapter.bus}, address {claimed.adapter.address})",
            "firmware": str(info.fw_version),
            "timing": timings[0][1].in_words(capability.fclk_can),
        }

    def _timings(
        self, claimed: ClaimedAdapter, settings: GsUsbSettings, capability: DeviceCapability
    ) -> list[tuple[int, Timing]]:
        """Return the requests that set the bit timing, in order, with their timings."""
        timings = [(wire.BITTIMING, timing(capability, "bitrate", settings.bitrate, settings.sample_point))]
        if settings.fd:
            if capability.feature & wire.HAS_BT_CONST_EXT:
                extended = _whole(claimed.ask(wire.BT_CONST_EXT, self._channel, 72), 72)
                # Features, clock and the nominal limits again, then the limits of the data phase.
                capability = DeviceCapability.unpack(extended[:8] + extended[40:])
            rate = settings.data_bitrate or settings.bitrate
            timings.append((wire.DATA_BITTIMING, timing(capability, "data_bitrate", rate, None)))
        return timings


def _whole(answer: bytes, size: int) -> bytes:
    """Return an answer of this size. Raises BusError if it is shorter: the firmware may do better when it is asked again."""
    if len(answer) < size:
        raise BusError(
            f"the firmware answers with {len(answer)} bytes in place of {size}. Plug the adapter in again, or update its firmware."
        )
    return answer


def _named(adapter: UsbAdapter, error: BusFailure) -> str:
    """Return the reason with the name of the adapter in front."""
    text = str(error)
    return text if text.startswith(str(adapter)) else f"{adapter}: {text}"
