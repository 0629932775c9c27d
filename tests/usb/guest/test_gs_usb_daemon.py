"""The real daemon with gs_usb adapters that come and go."""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.harness import Client, poll
from tests.usb.guest.quick_daemon import QuickDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.frame import Frame
    from tests.usb.guest.plugged import Plug

TWO = """
[bus.left]
interface = "gs_usb"
serial = "LEFT"
[bus.right]
interface = "gs_usb"
serial = "RIGHT"
"""
KERNELS = """
[bus.usb]
interface = "gs_usb"
serial = "KERNELS"
[bus.link]
interface = "socketcan"
channel = "{link}"
"""


def ids(frames: list[Frame]) -> set[int]:
    return {one.arbitration_id for one in frames}


def counted(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(one.data[:4]) for one in frames if one.arbitration_id == 0x100]


def test_two_adapters_by_serial_number_through_unplugging_and_replugging(plug: Plug, tmp_path: Path) -> None:
    right = plug("--serial", "RIGHT")
    left = plug("--serial", "LEFT", "--rate", "50")
    with (
        QuickDaemon(tmp_path, TWO) as daemon,
        Client(daemon.wait_port("left")) as at_left,
        Client(daemon.wait_port("right")) as at_right,
    ):
        daemon.wait_state("left", "running")
        daemon.wait_state("right", "running")
        at_left.wait_frames(50)
        right.tell("frame 222#02")
        assert ids(at_right.wait_frames(1)) == {0x222}

        left.unplug()  # in mid-stream
        waiting = daemon.wait_state("left", "waiting")
        assert "no gs_usb adapter with serial number LEFT" in waiting["reason"]
        assert "there are: gs_usb adapter RIGHT" in waiting["reason"]
        assert "has been unplugged" in (waiting["last_error"] or "")
        right.tell("frame 222#03")
        at_right.wait_frames(2)

        # Both sockets change places, and so do addresses.
        right.unplug()
        daemon.wait_state("right", "waiting")
        before = len(at_left.frames)
        left.plug()
        plugged_s = time.monotonic()
        at_left.wait_frames(before + 20)
        print(f"frames again {time.monotonic() - plugged_s:.1f} s after replugging")
        right.plug()
        daemon.wait_state("right", "running")
        right.tell("frame 222#04")
        at_right.wait_frames(3)

        for client in (at_left, at_right):
            assert not client.ended
            assert client.error is None
        assert ids(at_left.frames) == {0x100}
        assert ids(at_right.frames) == {0x222}
        numbers = counted(at_left.frames)
        gaps = [b - a for a, b in pairwise(numbers) if b - a != 1]
        assert len(gaps) == 1, f"one gap, where it was unplugged: {gaps}"
        assert gaps[0] > 1
        # One each; more where a machine under load lets the time for a control request pass.
        assert min(daemon.bus(name)["restarts"] for name in ("left", "right")) >= 1
    assert not any(channel["started"] for one in (left, right) for channel in one.status()["channels"])


def test_adapter_of_the_kernel_is_refused_and_served_as_socketcan(
    kernel_driver: None, plug: Plug, tmp_path: Path
) -> None:
    adapter = plug("--serial", "KERNELS", "--rate", "50")

    def links() -> list[str]:
        return [one.name for one in adapter.wait_there().glob("*:1.0/net/*")]

    poll(links, what="the kernel's interface")
    (link,) = links()
    with QuickDaemon(tmp_path, KERNELS.format(link=link)) as daemon:
        failed = daemon.wait_state("usb", "failed")
        assert f'Use interface = "socketcan", channel = "{link}"' in failed["reason"]
        assert f"interface {link} is down" in daemon.wait_state("link", "waiting")["reason"]
        with Client(daemon.wait_port("link")) as client:
            subprocess.run(["ip", "link", "set", link, "up", "type", "can", "bitrate", "500000"], check=True)
            client.wait_frames(20)
            assert ids(client.frames) == {0x100}
            adapter.unplug()
            daemon.wait_state("link", "waiting")
            assert not client.ended
        assert not any(daemon.bus("usb")["frames"][key] for key in ("received", "error", "remote"))
