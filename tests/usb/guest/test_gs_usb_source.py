"""The gs_usb source on the real libusb and a real kernel, without the daemon around it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.protocol.frame import BRS, EXTENDED, FD
from tests.support.gs_usb_source import opened
from tests.support.harness import PATIENCE_S, ROOT
from tests.support.source_reading import frames_of

if TYPE_CHECKING:
    from tests.usb.guest.plugged import Plug


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(data[:4]) for data in frames]


def test_numbered_frames_arrive_complete_and_the_device_is_stopped_and_opened_again(plug: Plug) -> None:
    adapter = plug("--rate", "150")
    for _ in range(2):
        with opened() as source:
            frames = frames_of(source, 300)
            found = numbers([frame.data for frame in frames])
            assert found == list(range(found[0], found[0] + len(found)))
            assert source.lost_adapter == source.error_frames == 0
            stamps = [frame.timestamp_us for frame in frames]
            assert stamps == sorted(stamps)
            assert abs(stamps[-1] - time.time_ns() // 1000) < 5_000_000
            # At 150 frames/s, by the adapter's clock.
            assert (stamps[-1] - stamps[0]) / (len(stamps) - 1) == pytest.approx(1e6 / 150, rel=0.3)
        channel = adapter.status()["channels"][0]
        assert not channel["started"]
    assert channel["bittiming"] == [6, 7, 2, 2, 6]


def test_silence_costs_nothing_and_differs_from_unplugging(plug: Plug) -> None:
    adapter = plug()
    with opened() as source:
        adapter.tell("frame 12345678#0102030405060708")
        (frame,) = frames_of(source, 1)
        assert (frame.arbitration_id, frame.flags, frame.data) == (0x12345678, EXTENDED, bytes(range(1, 9)))
        before = time.process_time()
        with pytest.raises(AssertionError, match="not within"):
            frames_of(source, 1, deadline_s=3)
        assert time.process_time() - before < 1.0  # python-can's reader: all of it
        adapter.unplug()
        with pytest.raises(BusError, match=r"LAB0001 .*has been unplugged"):
            frames_of(source, 1)
    with pytest.raises(AdapterAbsent, match="there is no gs_usb adapter"), opened():
        pass


def test_adapter_replugged_at_another_address_is_opened_by_the_same_process(plug: Plug) -> None:
    adapter = plug("--rate", "50")
    nodes = set()
    for _ in range(2):
        with opened(serial="LAB0001") as source:
            frames_of(source, 20)
            nodes.add(adapter.node())
            adapter.unplug()
            with pytest.raises(BusError, match="unplugged"):
                frames_of(source, 1_000)
        adapter.plug()
    with opened(serial="LAB0001") as source:
        frames_of(source, 20)
        nodes.add(adapter.node())
    assert len(nodes) == 3


def test_fd_frames_of_the_second_channel(plug: Plug) -> None:
    adapter = plug("--fd", "--channels", "2", "--rate", "50")
    with opened(channel=1) as source:
        found = numbers([frame.data for frame in frames_of(source, 20)])
        assert found == list(range(found[0], found[0] + len(found)))
    adapter.tell("rate 0")
    with opened(fd=True, data_bitrate=2_000_000) as source:
        adapter.tell("frame 7FF##1" + bytes(range(64)).hex())
        (frame,) = frames_of(source, 1)
        assert (frame.flags, frame.data) == (FD | BRS, bytes(range(64)))


def test_error_states(plug: Plug) -> None:
    adapter = plug()
    with opened() as source:
        for line, state in (("error 4 0020", "error-passive"), ("error 100", "error-active")):
            adapter.tell(line)
            deadline = time.monotonic() + PATIENCE_S
            while source.controller != state and time.monotonic() < deadline:
                source.read(time.monotonic())
                time.sleep(0.05)
            assert source.controller == state
        adapter.tell("error 40")
        with pytest.raises(BusError, match="is bus-off"):
            frames_of(source, 1)
        assert source.controller == "bus-off"


def test_user_without_permission_gets_the_remedy(plug: Plug) -> None:
    adapter = plug("--serial", "LOCKED")
    program = (
        "from tests.support.gs_usb_source import opened\n"
        "from cancorderd.adapters.failures import AdapterAbsent\n"
        "try:\n    with opened(serial='LOCKED'): pass\n"
        "except AdapterAbsent as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], user=65534, group=65534, extra_groups=[], text=True, cwd=ROOT,
        capture_output=True, timeout=PATIENCE_S, check=True, env=os.environ | {"HOME": "/"},
    )  # fmt: skip
    assert f"no permission for {adapter.node()} as user nobody" in answer.stdout
    assert 'ATTR{idVendor}=="1d50", ATTR{idProduct}=="606f", GROUP=' in answer.stdout


def test_adapter_of_the_kernel_is_taken_only_on_request_and_given_back(
    kernel_driver: None, plug: Plug
) -> None:
    adapter = plug("--rate", "50")

    adapter.wait_link()
    with (
        pytest.raises(
            SettingsRefused, match=f'Use interface = "socketcan", channel = "{adapter.links()[0]}"'
        ),
        opened(),
    ):
        pass
    assert adapter.links()
    with opened(detach_kernel_driver=True) as source:
        assert not adapter.links()
        frames_of(source, 20)
    adapter.wait_link()
