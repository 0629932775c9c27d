"""The museum of gs_usb firmware: emulated adapters behind a stand-in for libusb."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cancorderd.adapters import sysfs
from tests.firmware import frame_account
from tests.firmware.exhibit import Exhibit, Outcome
from tests.firmware.frame_account import EVERY_FRAME
from tests.firmware.source_visit import SourceVisit, visit_source
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.support.gs_usb_adapter import BT_CONST, ERR, HW_TIMESTAMP, RTR, frame
from tests.support.numbered_frames import Sender
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TITLE = "gs_usb: USB adapters with candleLight firmware and its relatives"

_RATE = 200
_FRAMES = 60
_PATIENCE_S = 25.0
_CLOCK_HZ = 48_000_000

BUS_OFF = frame(ERR | 0x40, bytes(8))


class StrangeAdapter(FakeUsbAdapter):
    """An adapter whose answers and transfers an exhibit changes."""

    exhibit: GsUsbExhibit
    told = False

    def control(self, setup: bytes, data: bytes) -> bytes | None:
        answer = super().control(setup, data)
        return self.exhibit.answers.get(setup[1], answer) if setup[0] == 0xC1 else answer

    def _pump(self) -> None:
        while self._fifo:
            record = self.exhibit.transfer(self._fifo.popleft())
            self._bus.lib.fake_feed(self._number, record, len(record))


def _nothing(_adapter: StrangeAdapter, _number: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class GsUsbExhibit(Exhibit):
    """Firmware; the defaults are the kernel's description of the protocol."""

    serials: tuple[str, ...] = ("LAB0001",)
    """One adapter for each, in USB sockets 1-1, 1-2, ..."""
    channels: int = 1
    features: int = 0xFFFF
    """Bits to keep of the features that the emulation announces."""
    answers: Mapping[int, bytes] = field(default_factory=dict)
    transfer: Callable[[bytes], bytes] = bytes
    clock: Callable[[float], int] = lambda age_s: round(age_s * 1e6)
    """The stamp at so many seconds after the adapter was plugged in."""
    before_frame: Callable[[StrangeAdapter, int], object] = _nothing
    keys: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 1.0
    """For how long the source is read at least."""


def _bus_off_once(adapter: StrangeAdapter, _number: int) -> None:
    if adapter.received > 10 and not adapter.told:
        adapter.told = adapter.receive(BUS_OFF)


def _bus_off_and_remote_frames(adapter: StrangeAdapter, number: int) -> None:
    if number % 20 == 10:
        adapter.receive(BUS_OFF)
        adapter.receive(frame(RTR | 0x7E0))


def _flag_each_tenth(adapter: StrangeAdapter, number: int) -> None:
    adapter._overflow = number % 10 == 0


def _other_channel(adapter: StrangeAdapter, number: int) -> None:
    adapter.channels[1].started = True
    adapter.receive(frame(0x7FF, number.to_bytes(8)), channel=1)


EXHIBITS = (
    GsUsbExhibit(
        name="by the book",
        symptom="None: the protocol of the kernel's driver.",
        came=EVERY_FRAME,
    ),
    GsUsbExhibit(
        name="bus-off for ever",
        symptom="Reports bus-off once and never its end, while frames go on.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=_bus_off_once,
        seconds=2.5,
    ),
    GsUsbExhibit(
        name="bus-off now and then",
        symptom="Reports bus-off again and again between frames.",
        came=EVERY_FRAME,
        said="errors counted; remote frames counted",
        before_frame=_bus_off_and_remote_frames,
        seconds=2.5,
    ),
    GsUsbExhibit(
        name="really bus-off",
        symptom="Reports bus-off, and nothing follows.",
        came="backoff; no frame",
        said="gs_usb adapter LAB0001 at usb 1-1 is bus-off. Check bitrate, wiring and termination.; errors counted",
        before_frame=lambda adapter, _number: adapter.receive(BUS_OFF),
        transfer=lambda record: record if record[7] & 0x20 else b"",
        features=0xFFFF & ~HW_TIMESTAMP,
        seconds=3.0,
    ),
    GsUsbExhibit(
        name="without a clock",
        symptom="Has no time stamps.",
        came=EVERY_FRAME,
        features=0xFFFF & ~HW_TIMESTAMP,
    ),
    GsUsbExhibit(
        name="announced stamps",
        symptom="Announces time stamps and sends frames without them.",
        came=EVERY_FRAME,
        said="clock: missing: …",
        transfer=lambda record: record[:20],
    ),
    GsUsbExhibit(
        name="wrapping clock",
        symptom="The clock's 32 bits start over while frames come.",
        came=EVERY_FRAME,
        clock=lambda age_s: (1 << 32) - 1_000_000 + round(age_s * 1e6),
        seconds=2.0,
    ),
    GsUsbExhibit(
        name="clock in milliseconds",
        symptom="The clock counts milliseconds, where microseconds are meant.",
        came=EVERY_FRAME,
        said="clock: …",
        clock=lambda age_s: round(age_s * 1e3),
        seconds=7.0,
    ),
    GsUsbExhibit(
        name="twins",
        symptom="All adapters of the product line have one serial number.",
        came="waiting; no frame",
        said='2 gs_usb adapters have the serial number SN0001. In place of serial, write usb_port = "1-1" or usb_port = "1-2".',
        serials=("SN0001", "SN0001"),
        keys={"serial": "SN0001"},
    ),
    GsUsbExhibit(
        name="twins by their sockets",
        symptom="The same, with the key usb_port.",
        came=EVERY_FRAME,
        serials=("SN0001", "SN0001"),
        keys={"usb_port": "1-2"},
    ),
    GsUsbExhibit(
        name="two channels",
        symptom="The other channel is still started, and its frames come along.",
        came=EVERY_FRAME,
        channels=2,
        before_frame=_other_channel,
    ),
    GsUsbExhibit(
        name="overruns",
        symptom="Flags a frame if it has lost others before.",
        came=EVERY_FRAME,
        said="loss counted",
        before_frame=_flag_each_tenth,
    ),
    GsUsbExhibit(
        name="padded",
        symptom="Transfers are filled up to a whole USB packet.",
        came=EVERY_FRAME,
        transfer=lambda record: record.ljust(64, b"\0"),
    ),
    GsUsbExhibit(
        name="cut answers",
        symptom="Answers a request with fewer bytes than it has to.",
        came="backoff; no frame",
        said="gs_usb adapter LAB0001 at usb 1-1: the firmware answers with 10 bytes in place of 40. …",
        answers={BT_CONST: bytes(10)},
    ),
    GsUsbExhibit(
        name="no limits",
        symptom="The limits of its bit timing are zeros.",
        came="failed; no frame",
        said="gs_usb adapter LAB0001 at usb 1-1: the adapter cannot do bitrate 500000: …",
        answers={BT_CONST: struct.pack("<10I", HW_TIMESTAMP, _CLOCK_HZ, *[0] * 8)},
    ),
)  # fmt: skip


def observe(exhibit: Exhibit, folder: Path) -> Outcome:
    assert isinstance(exhibit, GsUsbExhibit)
    sysfs.USB_DEVICES = str(folder / "sysfs")
    usb_bus = FakeUsb(folder)
    adapters = [_plugged(exhibit, usb_bus, port, serial) for port, serial in enumerate(exhibit.serials, 1)]
    for port, serial in enumerate(exhibit.serials, 1):
        place = folder / "sysfs" / f"1-{port}"
        place.mkdir(parents=True)
        (place / "serial").write_text(serial)
    adapter = adapters[-1]
    began_s = time.monotonic()
    sent_us: dict[int, int] = {}

    def send(number: int) -> None:
        exhibit.before_frame(adapter, number)
        sent_us[number] = time.time_ns() // 1000
        adapter.receive(frame(0x100, number.to_bytes(8)))

    def enough(visit: SourceVisit) -> bool:
        lasted = time.monotonic() - began_s >= exhibit.seconds
        return lasted and frame_account.complete(exhibit, visit, _FRAMES)

    with Sender(send, _RATE):
        visit = visit_source(valid_settings("gs_usb", **exhibit.keys), enough, _PATIENCE_S)
    usb_bus.close()
    return Outcome(frame_account.came(visit, sent_us), frame_account.said(visit))


def _plugged(exhibit: GsUsbExhibit, usb_bus: FakeUsb, port: int, serial: str) -> StrangeAdapter:
    class OfThisExhibit(StrangeAdapter):
        pass

    OfThisExhibit.exhibit = exhibit
    adapter = OfThisExhibit(usb_bus, port, channels=exhibit.channels, serial=serial)
    adapter.features &= exhibit.features
    plugged_s = time.monotonic()
    adapter.now_us = lambda: exhibit.clock(time.monotonic() - plugged_s)
    return adapter
