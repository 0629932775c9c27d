"""The gs_usb source on the real libusb and a real kernel, without the daemon around it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import BRS, EXTENDED, FD
from tests.adapters.gs_usb_source import frames_of, opened
from tests.harness import ROOT, poll
from tests.usb.guest.plugged import PATIENCE_S

if TYPE_CHECKING:
    from tests.usb.guest.plugged import Plug


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(data[:4]) for data in frames]


def test_numbered_frames_arrive_complete_and_the_device_is_stopped_and_opened_again(plug: Plug) -> None:
    adapter = plug("--rate", "150")
    for _ in range(2):
        with opened() as source:
            frames = frames_of(source, 300)
            found = numbers([one.data for one in frames])
            assert found == list(range(found[0], found[0] + len(found)))
            assert source.lost_adapter == source.error_frames == 0
            stamps = [one.timestamp_us for one in frames]
            assert stamps == sorted(stamps)
            assert abs(stamps[-1] - time.time_ns() // 1000) < 5_000_000
            # At 150 frames/s, by the adapter's clock.
            assert (stamps[-1] - stamps[0]) / (len(stamps) - 1) == pytest.approx(1e6 / 150, rel=0.3)
        channel = adapter.status()["channels"][0]
        assert not channel["started"]
    assert channel["bittiming"] == [6, 7, 2, 2, 6]


def test_silence_costs_nothing_and_unplugging_is_told_from_it(plug: Plug) -> None:
    adapter = plug()
    with opened() as source:
        adapter.tell("frame 12345678#0102030405060708")
        (one,) = frames_of(source, 1)
        assert (one.arbitration_id, one.flags, one.data) == (0x12345678, EXTENDED, bytes(range(1, 9)))
        before = time.process_time()
        with pytest.raises(AssertionError, match="not within"):
            frames_of(source, 1, deadline_s=3)
        assert time.process_time() - before < 1.0  # python-can's reader: all of it
        adapter.unplug()
        with pytest.raises(BusError, match=r"LAB0001 .*has been unplugged"):
            frames_of(source, 1)
    with pytest.raises(AdapterAbsent, match="there is no gs_usb adapter"), opened():
        pass


def test_replugged_under_another_address_in_one_process(plug: Plug) -> None:
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
        found = numbers([one.data for one in frames_of(source, 20)])
        assert found == list(range(found[0], found[0] + len(found)))
    adapter.tell("rate 0")
    with opened(fd=True, data_bitrate=2_000_000) as source:
        adapter.tell("frame 7FF##1" + bytes(range(64)).hex())
        (one,) = frames_of(source, 1)
        assert (one.flags, one.data) == (FD | BRS, bytes(range(64)))


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


def test_user_without_permission_is_told_what_to_do(plug: Plug) -> None:
    adapter = plug("--serial", "LOCKED")
    program = (
        "from tests.adapters.gs_usb_source import opened\n"
        "from cancorderd.errors import AdapterAbsent\n"
        "try:\n    with opened(serial='LOCKED'): pass\n"
        "except AdapterAbsent as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], user=65534, group=65534, extra_groups=[], text=True, cwd=ROOT,
        capture_output=True, timeout=PATIENCE_S, check=True, env=os.environ | {"HOME": "/"},
    )  # fmt: skip
    assert f"no permission for {adapter.node()} as user nobody" in answer.stdout
    assert 'ATTR{idVendor}=="1d50", ATTR{idProduct}=="606f", GROUP=' in answer.stdout


def test_kernels_adapter_is_taken_only_where_that_is_asked_for_and_given_back(
    kernel_driver: None, plug: Plug
) -> None:
    adapter = plug("--rate", "50")

    def links() -> list[str]:
        return [one.name for one in adapter.wait_there().glob("*:1.0/net/*")]

    poll(links, PATIENCE_S, "the kernel's interface")
    with (
        pytest.raises(SettingsRefused, match=f'Use interface = "socketcan", channel = "{links()[0]}"'),
        opened(),
    ):
        pass
    assert links()
    with opened(detach_kernel_driver=True) as source:
        assert not links()
        frames_of(source, 20)
    poll(links, PATIENCE_S, "the kernel's interface is back")
