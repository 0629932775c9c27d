"""What every source does alike, each against a real adapter or an emulation that speaks its protocol."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import can
import pytest

from cancorderd.errors import AdapterAbsent
from cancorderd.sources import open_source, usb_devices
from tests.adapters.fake_libusb import FakeUsb, FakeUsbAdapter, compiler
from tests.adapters.gs_usb_adapter import HW_TIMESTAMP
from tests.adapters.gs_usb_adapter import frame as gs_usb_frame
from tests.adapters.slcan_thread import SlcanAdapter
from tests.sources.reading import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Bench:
    """An adapter, how to open it, and how to make it absent."""

    def __init__(self, section: Any, absent: Any | None) -> None:
        self.section = section
        self.absent = absent


@contextlib.contextmanager
def slcan_bench(section: Callable[..., Any], folder: Path) -> Iterator[Bench]:
    with SlcanAdapter(folder / "tty", rate=500):
        yield Bench(
            section("slcan", channel=str(folder / "tty")), section("slcan", channel=str(folder / "none"))
        )


@contextlib.contextmanager
def virtual_bench(section: Callable[..., Any], folder: Path) -> Iterator[Bench]:
    channel = f"test-{folder.name}"
    with can.Bus(interface="virtual", channel=channel) as sender:
        message = can.Message(arbitration_id=0x100, data=b"\x01\x02", is_extended_id=False)
        sender.send_periodic(message, 0.002)
        yield Bench(section("virtual", channel=channel), None)


@contextlib.contextmanager
def replay_bench(section: Callable[..., Any], folder: Path) -> Iterator[Bench]:
    log = folder / "drive.log"
    log.write_text("".join(f"(1.{number:06}) can0 123#{number:04X}\n" for number in range(1000)))
    yield Bench(section("replay", file=str(log), loop=True), section("replay", file=str(folder / "none.log")))


@contextlib.contextmanager
def mock_bench(section: Callable[..., Any], folder: Path) -> Iterator[Bench]:
    yield Bench(section("mock", speed=50, start="always"), None)


@contextlib.contextmanager
def gs_usb_bench(section: Callable[..., Any], folder: Path) -> Iterator[Bench]:
    if compiler() is None:
        pytest.skip("needs a C compiler")
    usb_bus = FakeUsb(folder)
    adapter = FakeUsbAdapter(usb_bus)
    adapter.channels[0].started = True
    adapter.channels[0].mode = HW_TIMESTAMP
    for number in range(500):
        adapter.receive(gs_usb_frame(number))
    adapter.repeat(1 << 30)  # without end, also to whoever opens it next
    try:
        with patch.object(usb_devices, "SYSFS", str(folder / "sysfs")):
            yield Bench(section("gs_usb", serial="LAB0001"), section("gs_usb", serial="NONE"))
    finally:
        usb_bus.close()


BENCHES = {
    "gs_usb": gs_usb_bench,
    "slcan": slcan_bench,
    "virtual": virtual_bench,
    "replay": replay_bench,
    "mock": mock_bench,
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, section: Callable[..., Any], tmp_path: Path) -> Iterator[Bench]:
    with BENCHES[request.param](section, tmp_path) as made:
        yield made


def test_opens_streams_releases_and_opens_again(bench: Bench) -> None:
    for _ in range(3):
        source = open_source(bench.section)
        try:
            frames = frames_of(source, 20)
            now_us = time.time_ns() // 1000
            stamps = [frame.timestamp_us for frame in frames]
            assert stamps == sorted(stamps)
            assert abs(stamps[-1] - now_us) < 5_000_000
        finally:
            source.close()
            source.close()


def test_absent_adapter_is_told_apart_from_every_other_failure(bench: Bench) -> None:
    if bench.absent is None:
        pytest.skip("this kind of bus is never absent")
    with pytest.raises(AdapterAbsent, match=r"does not exist|there is no"):
        open_source(bench.absent)


def test_silent_read_returns_at_once_and_without_frames(bench: Bench) -> None:
    source = open_source(bench.section)
    try:
        frames_of(source, 1)
        for _ in range(5):
            started = time.monotonic()
            source.read(started)
            assert time.monotonic() - started < 0.1
    finally:
        source.close()
