"""Adapters for the contract tests: each a real one, or an emulation that speaks its real protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import can

from cancorderd.sources import usb_devices
from tests.adapters.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.adapters.gs_usb_adapter import frame as gs_usb_frame
from tests.adapters.slcan_thread import SlcanAdapter
from tests.adapters.toucan_stage import Stage, Word
from tests.e2e.numbered import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

Section = Callable[..., Any]
Deed = Callable[[], object]


@dataclass
class Bench:
    """One adapter that streams; what it cannot do is None."""

    section: Any
    refused: Any = None
    """A section that it can never serve."""
    absent: Any = None
    """A section whose adapter is not there."""
    unplug: Deed | None = None
    plug: Deed | None = None
    lose: Deed | None = None
    """Make the adapter lose frames, and say so."""


@contextlib.contextmanager
def slcan(section: Section, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    channel = str(folder / "tty")
    with SlcanAdapter(folder / "tty", rate=500) as adapter:
        yield Bench(
            section("slcan", channel=channel),
            refused=section("slcan", channel=channel, bitrate=83_333),
            absent=section("slcan", channel=str(folder / "none")),
            unplug=lambda: adapter.command("unplug"),
            plug=lambda: adapter.command("plug"),
            lose=lambda: adapter.command("flags 08"),
        )


@contextlib.contextmanager
def toucan(section: Section, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with Stage(folder) as stage:
        patch.setenv("TOUCAN_STAGE", stage.file)
        stage[Word.RATE] = 500

        def lose() -> None:
            stage[Word.OVERRUNS] += 5

        yield Bench(
            section("toucan", library=stage.library),
            refused=section("toucan", library=stage.library, bitrate=800_000),
            absent=section("toucan", library=stage.library, channel=5),
            unplug=stage.unplug,
            plug=stage.plug,
            lose=lose,
        )


@contextlib.contextmanager
def gs_usb(section: Section, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    patch.setattr(usb_devices, "SYSFS", str(folder / "sysfs"))
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
                section("gs_usb", serial="LAB0001"),
                refused=section("gs_usb", serial="LAB0001", channel=7),
                absent=section("gs_usb", serial="NONE"),
                unplug=adapter.unplug,
                plug=adapter.plug,
                lose=lose,
            )
    finally:
        usb_bus.close()


@contextlib.contextmanager
def virtual(section: Section, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    channel = f"test-{folder.name}"
    with can.Bus(interface="virtual", channel=channel) as sender:
        message = can.Message(arbitration_id=0x100, data=b"\x01\x02", is_extended_id=False)
        sender.send_periodic(message, 0.002)
        yield Bench(section("virtual", channel=channel), refused=section("pcan", channel="PCAN_USBBUS1"))


@contextlib.contextmanager
def replay(section: Section, folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    log = folder / "drive.log"
    log.write_text("".join(f"(1.{number:06}) can0 123#{number:04X}\n" for number in range(1000)))
    (folder / "drive.xyz").write_text("")
    yield Bench(
        section("replay", file=str(log), loop=True),
        refused=section("replay", file=str(folder / "drive.xyz")),
        absent=section("replay", file=str(folder / "none.log")),
    )


@contextlib.contextmanager
def mock(section: Section, _folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield Bench(section("mock", speed=50, start="always"))


BENCHES = {one.__name__: one for one in (slcan, toucan, gs_usb, virtual, replay, mock)}
"""socketcan passes the same in the lab, where a kernel has it."""
PLUGGABLE = ["slcan", "toucan", "gs_usb"]
ABSENT = [*PLUGGABLE, "replay"]
REFUSING = [*PLUGGABLE, "virtual", "replay"]
"""Of these, what the rest cannot do by their nature: they have no adapter, or one that is always there."""
