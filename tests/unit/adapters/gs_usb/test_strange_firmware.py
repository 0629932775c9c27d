"""Firmware whose answers or frames do not fit the book: served, or said."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.failures import BusError, SettingsRefused
from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter, compiler
from tests.support.gs_usb_adapter import BT_CONST, DEVICE_CONFIG, HOST_FORMAT, HW_TIMESTAMP, MODE, frame
from tests.support.gs_usb_source import opened
from tests.support.source_reading import frames_of

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")

CLOCK_HZ = 48_000_000


class Firmware(FakeUsbAdapter):
    """Gives fixed answers to some requests, and refuses others."""

    answers: Mapping[int, bytes] = {}
    refused: tuple[int, ...] = ()

    def control(self, setup: bytes, data: bytes) -> bytes | None:
        kind, request = setup[:2]
        if kind & 0x60 == 0x40 and request in self.refused:
            return None
        if kind & 0xE0 == 0xC0 and request in self.answers:
            return self.answers[request]
        return super().control(setup, data)


def limits(clock_hz: int, *numbers: int) -> bytes:
    return struct.pack("<10I", HW_TIMESTAMP, clock_hz, *numbers)


@pytest.mark.parametrize(
    ("request_number", "answer"), [(BT_CONST, b""), (BT_CONST, bytes(10)), (DEVICE_CONFIG, b"\0\0")]
)
def test_answer_that_is_too_short_is_asked_for_again_later(
    usb_bus: FakeUsb, request_number: int, answer: bytes
) -> None:
    adapter = Firmware(usb_bus)
    adapter.answers = {request_number: answer}
    reason = rf"LAB0001 at usb 1-1: the firmware answers with {len(answer)} bytes in place of"
    with pytest.raises(BusError, match=reason), opened():
        pass
    assert adapter.held == (0, 0, 0)
    adapter.answers = {}
    with opened() as source:
        adapter.receive(frame(1))
        frames_of(source, 1)


@pytest.mark.parametrize(
    "answer",
    [
        limits(0, 1, 16, 1, 8, 4, 1, 1024, 1),
        limits(CLOCK_HZ, *[0] * 8),
        limits(CLOCK_HZ, 16, 1, 8, 1, 4, 1024, 1, 1),
        limits(CLOCK_HZ, 1, 16, 1, 8, 4, 1, 1024, 1 << 31),
    ],
    ids=["no clock", "zeros", "the wrong way round", "a huge step"],
)
def test_impossible_limits_are_refused(usb_bus: FakeUsb, answer: bytes) -> None:
    adapter = Firmware(usb_bus)
    adapter.answers = {BT_CONST: answer}
    with pytest.raises(SettingsRefused, match="cannot do bitrate 500000"), opened():
        pass
    assert adapter.held == (0, 0, 0)


def test_limits_that_are_partly_unknown_are_used(usb_bus: FakeUsb) -> None:
    adapter = Firmware(usb_bus)
    adapter.answers = {BT_CONST: limits(CLOCK_HZ, 0, 16, 0, 8, 4, 0, 1024, 0)}
    with opened() as source:
        assert source.details["timing"].startswith("500000 bit/s")


@pytest.mark.parametrize("request_number", [HOST_FORMAT, MODE])
def test_refused_request_is_refused_settings(usb_bus: FakeUsb, request_number: int) -> None:
    adapter = Firmware(usb_bus)
    adapter.refused = (request_number,)
    with pytest.raises(SettingsRefused, match="refuses a setting"), opened():
        pass


class Unstamped(FakeUsbAdapter):
    """Announces time stamps and sends frames without them."""

    def _pump(self) -> None:
        while self._fifo:
            record = self._fifo.popleft()[:20]
            self._bus.lib.fake_feed(self._number, record, len(record))


def test_stamps_that_are_announced_and_missing_cost_the_stamps_alone(usb_bus: FakeUsb) -> None:
    adapter = Unstamped(usb_bus)
    with opened() as source:
        for number in range(5):
            adapter.receive(frame(number, b"abc"))
        frames = frames_of(source, 5)
        assert [(received.arbitration_id, received.data) for received in frames] == [
            (number, b"abc") for number in range(5)
        ]
        assert abs(frames[0].timestamp_us - time.time_ns() // 1000) < 5_000_000
        assert source.error_frames == 0
        assert source.details["clock"].startswith("missing: frames come without")
        assert len(source.notices) == 1


def test_other_channel_without_stamps_says_nothing_about_this_one(usb_bus: FakeUsb) -> None:
    adapter = FakeUsbAdapter(usb_bus, channels=2)
    with opened() as source:
        adapter.channels[1].started = True
        adapter.receive(frame(1), channel=1)
        adapter.receive(frame(2), channel=0)
        assert [received.arbitration_id for received in frames_of(source, 1)] == [2]
        assert (source.error_frames, source.notices) == (0, [])


def record(can_id: int, size: int = 24) -> bytes:
    return struct.pack("<IIBBBB8sI", 0xFFFFFFFF, can_id, 1, 0, 0, 0, b"\7", 5)[:size]


@pytest.mark.parametrize(
    ("transfers", "ids", "malformed"),
    [
        ([record(1), b"", record(2)], [1, 2], 1),
        ([record(1), record(9, 19), record(2)], [1, 2], 1),
        ([record(1), record(9, 3), record(2)], [1, 2], 1),
        ([record(1) + bytes(40), record(2)], [1, 2], 0),
        ([record(1, 22), record(2)], [2], 1),
        ([record(1, 20), record(2)], [1, 2], 0),
    ],
    ids=["empty", "cut payload", "cut head", "padded", "cut stamp", "no stamp"],
)
def test_transfers_of_strange_lengths(transfers: list[bytes], ids: list[int], malformed: int) -> None:
    decoder = GsUsbDecoder(0, lambda stamp_us, _now_us: stamp_us)
    batch = decoder.decode(transfers, 7)
    size = len(batch.packets) // batch.frames
    found = [int.from_bytes(batch.packets[at + 8 : at + 12]) for at in range(0, len(batch.packets), size)]
    assert (found, decoder.malformed) == (ids, malformed)
