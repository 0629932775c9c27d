"""Adapters for the contract tests: real ones, or emulations that speak the real protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters import sysfs
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.support.gs_usb_adapter import frame as gs_usb_frame
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.numbered_frames import Sender
from tests.support.slcan_thread import SlcanAdapter
from tests.support.staged_gateway import StagedGateway
from tests.support.toucan_stage import Stage, Word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MakeSettings = Callable[..., Any]
Deed = Callable[[], object]


@dataclass
class Bench:
    """An adapter that sends frames; abilities that it lacks are None."""

    settings: Any
    refused: Any = None
    """Settings that it can never serve."""
    absent: Any = None
    """Settings whose adapter is absent."""
    unplug: Deed | None = None
    plug: Deed | None = None
    lose: Deed | None = None
    """Make the adapter lose frames and report the loss."""


@contextlib.contextmanager
def slcan(make_settings: MakeSettings, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    channel = str(folder / "tty")
    with SlcanAdapter(folder / "tty", rate=500) as adapter:
        yield Bench(
            make_settings("slcan", channel=channel),
            refused=make_settings("slcan", channel=channel, bitrate=83_333),
            absent=make_settings("slcan", channel=str(folder / "none")),
            unplug=lambda: adapter.command("unplug"),
            plug=lambda: adapter.command("plug"),
            lose=lambda: adapter.command("flags 08"),
        )


@contextlib.contextmanager
def toucan(make_settings: MakeSettings, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with Stage(folder) as stage:
        patch.setenv("TOUCAN_STAGE", stage.file)
        stage[Word.RATE] = 500

        def lose() -> None:
            stage[Word.OVERRUNS] += 5

        yield Bench(
            make_settings("toucan", library=stage.library),
            refused=make_settings("toucan", library=stage.library, bitrate=800_000),
            absent=make_settings("toucan", library=stage.library, channel=5),
            unplug=stage.unplug,
            plug=stage.plug,
            lose=lose,
        )


@contextlib.contextmanager
def gs_usb(make_settings: MakeSettings, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    patch.setattr(sysfs, "USB_DEVICES", str(folder / "sysfs"))
    usb_bus = FakeUsb(folder)
    adapter = FakeUsbAdapter(usb_bus)

    def lose() -> None:
        adapter._overflow = True

    def send(number: int) -> None:
        if adapter.plugged:
            adapter.receive(gs_usb_frame(0x100, number.to_bytes(8)))

    try:
        with Sender(send, 500):
            yield Bench(
                make_settings("gs_usb", serial="LAB0001"),
                refused=make_settings("gs_usb", serial="LAB0001", channel=7),
                absent=make_settings("gs_usb", serial="NONE"),
                unplug=adapter.unplug,
                plug=adapter.plug,
                lose=lose,
            )
    finally:
        usb_bus.close()


@contextlib.contextmanager
def virtual(make_settings: MakeSettings, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    channel = f"test-{folder.name}"
    with can.Bus(interface="virtual", channel=channel) as sender:
        message = can.Message(arbitration_id=0x100, data=b"\x01\x02", is_extended_id=False)
        sender.send_periodic(message, 0.002)
        yield Bench(
            make_settings("virtual", channel=channel), refused=make_settings("pcan", channel="PCAN_USBBUS1")
        )


@contextlib.contextmanager
def replay(make_settings: MakeSettings, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    log = folder / "drive.log"
    log.write_text("".join(f"(1.{number:06}) can0 123#{number:04X}\n" for number in range(1000)))
    (folder / "drive.xyz").write_text("")
    yield Bench(
        make_settings("replay", file=str(log), loop=True),
        refused=make_settings("replay", file=str(folder / "drive.xyz")),
        absent=make_settings("replay", file=str(folder / "none.log")),
    )


@contextlib.contextmanager
def mock(make_settings: MakeSettings, _folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield Bench(make_settings("mock", speed=50, start="always"))


@contextlib.contextmanager
def nats(make_settings: MakeSettings, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    if not PROGRAM:
        pytest.skip("nats-server is missing: tests/run installs it")
    with NatsServer(folder / "hub") as hub, StagedGateway(hub.url) as gateway:
        gateway.make_stream()
        with Sender(lambda _: gateway.send("body", 10), 50):
            yield Bench(make_settings("nats", url=[hub.url], gateway="truck", bus="body"))


BENCHES = {bench.__name__: bench for bench in (slcan, toucan, gs_usb, virtual, replay, mock, nats)}
"""socketcan passes the same tests in the lab, whose kernel has it."""
PLUGGABLE = ["slcan", "toucan", "gs_usb"]
ABSENT = [*PLUGGABLE, "replay"]
REFUSING = [*PLUGGABLE, "virtual", "replay"]
"""The benches with these abilities; the others have no adapter, or an adapter that is always there."""
