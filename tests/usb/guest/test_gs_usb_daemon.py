"""The real daemon with gs_usb adapters that are plugged in and unplugged."""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from cancorderd.adapters.gs_usb.usb_devices import adapters
from tests.support.harness import Client, poll
from tests.usb.guest.quick_daemon import QuickDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.protocol.frame import Frame
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
    return {frame.arbitration_id for frame in frames}


def counted(frames: list[Frame]) -> list[int]:
    return [int.from_bytes(frame.data[:4]) for frame in frames if frame.arbitration_id == 0x100]


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

        # The adapters swap their sockets, and with them their addresses.
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
        assert len(gaps) == 1, f"one gap, while it was unplugged: {gaps}"
        assert gaps[0] > 1
        # One each; more if a control request times out on a busy machine.
        assert min(daemon.bus(name)["restarts"] for name in ("left", "right")) >= 1
    assert not any(
        channel["started"] for adapter in (left, right) for channel in adapter.status()["channels"]
    )


def test_two_adapters_with_one_serial_number_by_their_sockets_through_replugging(
    plug: Plug, tmp_path: Path
) -> None:
    twins = [plug("--serial", "SN0001") for _ in range(2)]
    poll(lambda: len(adapters()) == 2, what="both are there")
    places = [adapter.place for adapter in adapters()]
    tables = [f'[bus.at{at}]\ninterface = "gs_usb"\nusb_port = "{place}"' for at, place in enumerate(places)]
    both = '[bus.both]\ninterface = "gs_usb"\nserial = "SN0001"'
    with QuickDaemon(tmp_path, "\n".join([*tables, both])) as daemon:
        clients = [Client(daemon.wait_port(f"at{at}")) for at in range(2)]
        for at in range(2):
            daemon.wait_state(f"at{at}", "running")
        reason = daemon.wait_state("both", "waiting")["reason"]
        assert all(f'usb_port = "{place}"' in reason for place in places)
        for number, adapter in enumerate(twins, 1):
            adapter.tell(f"frame {number}11#{number:02}")
        first = [ids(client.wait_frames(1)) for client in clients]
        assert sorted(map(min, first)) == [0x111, 0x211]

        twins[0].tell("unplug")
        poll(lambda: len(adapters()) == 1, what="a twin is gone")
        twins[0].tell("plug")
        poll(lambda: len(adapters()) == 2, what="it is back")
        assert [adapter.place for adapter in adapters()] == places
        for at in range(2):
            daemon.wait_state(f"at{at}", "running")
        for number, adapter in enumerate(twins, 1):
            adapter.tell(f"frame {number}11#{number:02}")
        for client, expected in zip(clients, first, strict=True):
            assert ids(client.wait_frames(2)) == expected
            client.close()


def test_adapter_of_the_kernel_is_refused_and_served_as_socketcan(
    kernel_driver: None, plug: Plug, tmp_path: Path
) -> None:
    adapter = plug("--serial", "KERNELS", "--rate", "50")

    link = adapter.wait_link()
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
