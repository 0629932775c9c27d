"""The gs_usb source, pyusb and the gs_usb package on emulated adapters, with a stand-in for libusb.

tests/usb has the real libusb and a real kernel.
"""

from __future__ import annotations

import select
import time

import pytest

from cancorderd.adapters.error_frames import BUS_OFF_PATIENCE_S
from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.protocol.frame import BRS, EXTENDED, FD
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter, compiler
from tests.support.gs_usb_adapter import EFF, ERR, FLAG_BRS, FLAG_FD, HW_TIMESTAMP, RTR, frame
from tests.support.gs_usb_source import opened
from tests.support.harness import PATIENCE_S
from tests.support.source_reading import frames_of

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


def test_streams_releases_the_device_and_opens_again(adapter: FakeUsbAdapter) -> None:
    for _ in range(3):
        adapter.modes.clear()
        with opened() as source:
            for number in range(600):  # more than the transfers
                adapter.receive(frame(EFF | number, bytes([number % 256, 1])))
            frames = frames_of(source, 600)
            assert [received.arbitration_id for received in frames] == list(range(600))
            assert all(received.flags == EXTENDED for received in frames)
            assert frames[1].data == b"\x01\x01"
            assert source.lost_adapter == source.error_frames == 0
            assert source.controller == "error-active"
        assert adapter.modes == [(0, 0), (1, HW_TIMESTAMP), (0, 0)]
        assert adapter.held == (0, 0, 0)


def test_details_name_the_adapter_and_its_timing(adapter: FakeUsbAdapter) -> None:
    with opened(bitrate=83_333) as source:
        assert source.details == {
            "serial": "LAB0001",
            "usb": "1-1 (bus 1, address 11)",
            "firmware": "2",
            "timing": "83333 bit/s, sample point 87.5 %",
        }
    assert adapter.channels[0].bittiming == (6, 7, 2, 2, 36)


def test_stamps_keep_the_adapters_distances_over_its_wrap(adapter: FakeUsbAdapter) -> None:
    now_us = 0xFFFF_FFF0
    adapter.now_us = lambda: now_us
    with opened() as source:
        adapter.receive(frame(1))
        now_us += 0x20  # the counter wraps
        adapter.receive(frame(2))
        first, second = frames_of(source, 2)
    assert second.timestamp_us - first.timestamp_us == 0x20
    assert abs(first.timestamp_us - time.time_ns() // 1000) < 5_000_000


def test_arrival_is_the_stamp_if_the_adapter_has_none(adapter: FakeUsbAdapter) -> None:
    adapter.features &= ~HW_TIMESTAMP
    with opened() as source:
        adapter.receive(frame(1, b"abc"))
        (received,) = frames_of(source, 1)
    assert received.data == b"abc"
    assert abs(received.timestamp_us - time.time_ns() // 1000) < 5_000_000
    assert adapter.modes[-2] == (1, 0)


def test_frames_left_over_from_the_last_user_are_not_sent(adapter: FakeUsbAdapter) -> None:
    adapter.channels[0].started = True
    for _ in range(10):
        adapter.receive(frame(0x666))
    with opened() as source:
        adapter.receive(frame(0x100))
        assert [received.arbitration_id for received in frames_of(source, 1)] == [0x100]


def test_silent_bus_costs_no_calls(adapter: FakeUsbAdapter) -> None:
    with opened() as source:
        assert select.select([source.fileno()], [], [], 0.2)[0] == []
        assert source.due(0.0) is None
        durations_s = []
        for _ in range(10):
            began_s = time.monotonic()
            assert source.read(began_s).frames == 0
            durations_s.append(time.monotonic() - began_s)
        assert min(durations_s) < 0.1, "a read that waits does so each time"
        adapter.receive(frame(1))
        frames_of(source, 1)


def test_unplugging_is_a_bus_error_after_the_last_frame(adapter: FakeUsbAdapter) -> None:
    with opened() as source:
        for _ in range(5):
            adapter.receive(frame(1))
        assert len(frames_of(source, 5)) == 5
        adapter.unplug()
        with pytest.raises(BusError, match=r"gs_usb adapter LAB0001 at usb 1-1 has been unplugged"):
            frames_of(source, 1)
    with pytest.raises(AdapterAbsent, match=r"there is no gs_usb adapter\. Plug one in"), opened():
        pass
    adapter.plug()
    with opened(serial="LAB0001") as source:
        assert source.details["usb"] == "1-1 (bus 1, address 12)"
        adapter.receive(frame(1))
        frames_of(source, 1)


def test_fewer_transfers_if_the_system_grants_fewer(usb_bus: FakeUsb, adapter: FakeUsbAdapter) -> None:
    usb_bus.lib.fake_submit_limit(adapter._number, 10)
    with opened() as source:
        assert adapter.held[2] == 10
        for _ in range(100):
            adapter.receive(frame(1))
        frames_of(source, 100)
    assert adapter.held == (0, 0, 0)
    usb_bus.lib.fake_submit_limit(adapter._number, 0)
    with pytest.raises(BusError, match="accepts no transfers"), opened():
        pass
    assert adapter.held == (0, 0, 0)


def test_fd_frames(usb_bus: FakeUsb) -> None:
    adapter = FakeUsbAdapter(usb_bus, fd=True, clock=80_000_000)
    with opened(fd=True, data_bitrate=2_000_000) as source:
        adapter.receive(frame(1, bytes(range(48)), FLAG_FD | FLAG_BRS))
        adapter.receive(frame(2, b"classic"))
        first, second = frames_of(source, 2)
    assert (first.flags, first.data) == (FD | BRS, bytes(range(48)))
    assert (second.flags, second.data) == (0, b"classic")
    channel = adapter.channels[0]
    assert channel.data_bittiming
    assert channel.bittiming
    prop, seg1, seg2, _, brp = channel.data_bittiming
    assert 80_000_000 / (brp * (1 + prop + seg1 + seg2)) == 2_000_000


def test_second_channel(usb_bus: FakeUsb) -> None:
    adapter = FakeUsbAdapter(usb_bus, channels=2)
    with opened(channel=1) as source:
        assert [channel.started for channel in adapter.channels] == [False, True]
        adapter.channels[0].started = True
        adapter.channels[0].mode = HW_TIMESTAMP
        adapter.receive(frame(1), channel=0)
        adapter.receive(frame(2), channel=1)
        assert [received.arbitration_id for received in frames_of(source, 1)] == [2]
    assert not adapter.channels[1].started
    with (
        pytest.raises(SettingsRefused, match=r"has 2 channel\(s\), counted from 0. Correct channel 2"),
        opened(channel=2),
    ):
        pass


def test_counters_and_controller_state(adapter: FakeUsbAdapter) -> None:
    with opened() as source:
        adapter.receive(frame(RTR | 1))
        adapter.receive(frame(ERR | 4, bytes([0, 8, 0, 0, 0, 0, 0, 0])))
        adapter._overflow = True
        adapter.receive(frame(1))
        frames_of(source, 1)
        assert (source.remote_frames, source.error_frames, source.lost_adapter) == (1, 1, 1)
        assert source.controller == "error-warning"


def test_bus_off_ends_the_bus_unless_the_controller_restarts(adapter: FakeUsbAdapter) -> None:
    def read_at(now_s: float) -> None:
        select.select([source.fileno()], [], [], PATIENCE_S)
        source.read(now_s)

    with opened() as source:
        adapter.receive(frame(ERR | 0x40, bytes(8)))
        read_at(100.0)
        assert source.controller == "bus-off"
        assert source.due(100.0) == BUS_OFF_PATIENCE_S
        adapter.receive(frame(ERR | 0x100, bytes(8)))
        read_at(100.5)
        assert source.controller == "error-active"
        adapter.receive(frame(ERR | 0x40, bytes(8)))
        read_at(102.0)
        with pytest.raises(BusError, match="is bus-off"):
            source.read(102.0 + BUS_OFF_PATIENCE_S)
