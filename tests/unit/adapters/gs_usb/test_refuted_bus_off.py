"""The gs_usb source with firmware that reports bus-off and goes on delivering frames."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.failures import BusError
from cancorderd.config.bus_settings import Filter
from tests.support.fake_libusb import FakeUsbAdapter, compiler
from tests.support.gs_usb_adapter import ERR, frame
from tests.support.gs_usb_source import opened
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from cancorderd.adapters.gs_usb.source import GsUsbSource

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


def read_at(source: GsUsbSource, now_s: float) -> int:
    select.select([source.fileno()], [], [], PATIENCE_S)
    return source.read(now_s).frames


@pytest.mark.parametrize("filters", [(), (Filter(id=0x700),)], ids=["passed", "filtered"])
def test_frames_after_bus_off_keep_the_bus_and_later_silence_does_not_end_it(
    adapter: FakeUsbAdapter, filters: tuple[Filter, ...]
) -> None:
    with opened(filters=filters) as source:
        adapter.receive(frame(ERR | 0x40, bytes(8)))
        assert read_at(source, 100.0) == 0
        adapter.receive(frame(0x123))
        assert read_at(source, 100.9) == (0 if filters else 1)
        assert source.controller == "error-active"
        assert source.due(101.0) is None
        for now_s in (101.1, 105.0, 200.0):
            assert source.read(now_s).frames == 0


def test_bus_off_that_returns_later_has_its_own_patience(adapter: FakeUsbAdapter) -> None:
    with opened() as source:
        adapter.receive(frame(ERR | 0x40, bytes(8)))
        read_at(source, 100.0)
        adapter.receive(frame(0x123))
        read_at(source, 100.5)
        adapter.receive(frame(ERR | 0x40, bytes(8)))
        assert read_at(source, 107.0) == 0
        with pytest.raises(BusError, match="is bus-off"):
            source.read(108.0)
