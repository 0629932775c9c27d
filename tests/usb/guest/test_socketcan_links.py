"""Links of real drivers, set up by their bus: kvaser_pci, and the kernel's gs_usb for the states of a controller."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.error_frames import BUS_OFF_PATIENCE_S
from cancorderd.adapters.socketcan.netlink import LinkSocket, LinkWatch
from tests.support.harness import Client, poll
from tests.usb.guest.quick_daemon import QuickDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.usb.guest.plugged import Plug, Plugged


def bus(channel: str, *keys: str) -> str:
    return "\n".join(["[bus.body]", 'interface = "socketcan"', f'channel = "{channel}"', *keys, ""])


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


@pytest.fixture
def links() -> Iterator[LinkSocket]:
    asked = LinkSocket()
    yield asked
    asked.close()


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """Return two controllers on a wire, in the state in which the machine starts."""
    subprocess.run(["modprobe", "-a", "kvaser_pci", "can_raw"], check=True)
    poll(lambda: subprocess.run(["ip", "link", "show", "can1"], check=False).returncode == 0)
    yield "can0", "can1"
    for name in ("can0", "can1"):
        ip(f"link set {name} down")


@pytest.fixture
def adapter(kernel_driver: None, plug: Plug) -> Plugged:
    return plug("--serial", "LINKS")


def shown(daemon: QuickDaemon, **expected: Any) -> dict[str, Any]:
    """Wait until these keys of the bus's status have these values; return the status."""

    def matching() -> dict[str, Any] | None:
        found = daemon.bus("body")
        return found if all(found[key] == value for key, value in expected.items()) else None

    try:
        found = poll(matching, what=f"{expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {daemon.bus('body')}") from None
    assert found
    return found


def send(interface: str, count: int) -> None:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender:
        sender.bind((interface,))
        for value in range(count):
            while True:
                try:
                    sender.send(struct.pack("=IB3xQ", 0x123, 8, value))
                    break
                except OSError:  # ENOBUFS: the queue of the interface is full
                    continue


def test_a_controller_gets_every_setting_of_its_bus(
    pair: tuple[str, str], tmp_path: Path, links: LinkSocket
) -> None:
    name, other = pair
    keys = [
        "configure = true",
        "bitrate = 250_000",
        "sample_point = 0.8",
        "listen_only = true",
        "restart_ms = 100",
    ]
    ip(f"link set {other} up type can bitrate 250000")
    with QuickDaemon(tmp_path, bus(name, *keys)) as daemon:
        shown(daemon, state="running", controller="error-active")
        link = links.read(name)
        assert link.up
        assert link.bittiming
        assert (link.bittiming.bitrate, link.listen_only, link.restart_ms) == (250_000, True, 100)
        assert link.bittiming.sample_point == 0.75  # of 16 quanta, the one ahead of 0.8
        details = daemon.bus("body")["details"]
        assert details["bitrate"] == "250000, sample point 0.75"
        assert details["errors"] == "transmit 0, receive 0"
        assert (details["listen_only"], details["restart_ms"]) == ("true", "100")
        assert "differs" not in details
        with Client(daemon.wait_port("body")) as client:
            send(other, 3)
            client.wait_frames(3)

        watch = LinkWatch(name)
        pid = daemon.bus("body")["pid"]
        daemon.ctl("restart", "body")
        poll(lambda: daemon.bus("body")["pid"] not in (pid, None), what="a new worker")
        shown(daemon, state="running")
        assert not watch.arrived(), "a correct link stays up"
        watch.close()

        daemon.write(bus(name, "configure = true", "fd = true", "data_bitrate = 2_000_000"))
        reloaded = daemon.ctl("reload")
        assert reloaded.returncode == 1, reloaded.stderr
        reason = daemon.wait_state("body", "failed")["reason"]
        assert f"{name} does not accept fd = true and data_bitrate = 2000000 (" in reason


def test_overruns_of_the_controller_are_counted(pair: tuple[str, str], tmp_path: Path) -> None:
    name, other = pair
    count = 2000
    ip(f"link set {other} up type can bitrate 1000000")
    with (
        QuickDaemon(tmp_path, bus(name, "configure = true", "bitrate = 1_000_000")) as daemon,
        Client(daemon.wait_port("body")) as client,
    ):
        shown(daemon, state="running")
        poll(lambda: daemon.bus("body")["clients"], what="the client is connected")
        send(other, count)

        def settled() -> bool:
            before = len(client.frames)
            lost = daemon.bus("body")["lost"]["adapter"]
            return before == count or (before > 0 and lost > 0 and before == len(client.frames))

        poll(settled, what="all frames, or a reported loss")
        found = daemon.bus("body")
        print(f"{len(client.frames)} of {count}, lost {found['lost']}, {found['details']}")
        assert int(found["details"]["overruns"]) <= found["lost"]["adapter"]


def test_states_of_the_controller_are_shown_and_the_bus_restarts_after_bus_off(
    adapter: Plugged, tmp_path: Path, links: LinkSocket
) -> None:
    name = adapter.wait_link()
    with (
        QuickDaemon(tmp_path, bus(name, "configure = true")) as daemon,
        Client(daemon.wait_port("body")) as client,
    ):
        shown(daemon, state="running", controller="error-active")
        adapter.tell("error 4 0008")
        shown(daemon, controller="error-warning")
        adapter.tell("error 4 0020")
        assert shown(daemon, controller="error-passive")["frames"]["error"] == 2
        assert links.read(name).controller == "error-passive"
        adapter.tell("error 40")
        # Bus-off is shorter than a query of the status on a slow machine.
        again = shown(daemon, state="running", controller="error-active", restarts=1)
        assert again["last_error"].startswith(f"{name} is bus-off. Check bitrate, wiring and termination.")
        adapter.tell("frame 123#01")
        client.wait_frames(1)
        assert not client.ended

        # A controller that recovers by itself in time is left alone.
        adapter.tell("error 40")
        adapter.tell("error 4 0040")
        shown(daemon, controller="error-active")
        assert daemon.bus("body")["restarts"] == 1

        adapter.unplug()
        assert "there is no interface" in daemon.wait_state("body", "waiting")["reason"]
        adapter.plug()
        assert adapter.wait_link() == name
        shown(daemon, state="running", controller="error-active")
        adapter.tell("frame 123#02")
        client.wait_frames(2)
        assert not client.ended


def test_frames_after_bus_off_keep_the_bus_although_the_driver_reports_bus_off(
    adapter: Plugged, tmp_path: Path, links: LinkSocket
) -> None:
    name = adapter.wait_link()
    with (
        QuickDaemon(tmp_path, bus(name, "configure = true")) as daemon,
        Client(daemon.wait_port("body")) as client,
    ):
        shown(daemon, state="running", controller="error-active")
        adapter.tell("error 40")
        adapter.tell("frame 123#01")
        client.wait_frames(1)
        assert links.read(name).controller == "bus-off"
        # Longer than the patience, and without a frame, since the first frame has refuted the report.
        until_s = time.monotonic() + 2 * BUS_OFF_PATIENCE_S
        poll(lambda: time.monotonic() > until_s, what="the time of a bus that is off is over")
        adapter.tell("frame 123#02")
        client.wait_frames(2)
        found = shown(daemon, state="running", controller="error-active")
        assert found["restarts"] == 0


def test_bus_off_without_configure_gives_the_remedy_which_works(adapter: Plugged, tmp_path: Path) -> None:
    name = adapter.wait_link()
    ip(f"link set {name} up type can bitrate 250000")
    with QuickDaemon(tmp_path, bus(name)) as daemon:
        assert shown(daemon, state="running")["details"]["differs"] == "bitrate"
        adapter.tell("error 40")
        reason = daemon.wait_state("body", "backoff")["reason"]
        assert f"ip link set {name} down; ip link set {name} up" in reason
        assert "configure = true" in reason
        ip(f"link set {name} down")
        ip(f"link set {name} up")
        shown(daemon, state="running", controller="error-active")


def test_restart_ms_is_refused_if_the_driver_cannot_restart(adapter: Plugged, tmp_path: Path) -> None:
    with QuickDaemon(tmp_path, bus(adapter.wait_link(), "configure = true", "restart_ms = 100")) as daemon:
        reason = daemon.wait_state("body", "failed")["reason"]
        assert "does not accept restart_ms = 100 (" in reason
        assert "Remove restart_ms" in reason
