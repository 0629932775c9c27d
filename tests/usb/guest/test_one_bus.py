"""The ancestor's command lines for `cancorder-canlogger` on gs_usb adapters, which the kernel may hold."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import ancestors_commands
from tests.e2e.ancestors_command_as_user import try_out
from tests.e2e.ancestors_commands import Needs, Shell, lines
from tests.support.harness import Client

if TYPE_CHECKING:
    from tests.usb.guest.plugged import Plug


BIN = Path("/usr/local/bin")
"""A folder that sudo searches, too."""


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    ancestors_commands.install(BIN)


@pytest.mark.parametrize("line", lines(Needs.GS_USB))
def test_line_for_a_gs_usb_adapter(line: str, plug: Plug) -> None:
    adapter = plug("--rate", "50")
    with Shell(line, BIN) as shell:
        try_out(shell)
        shell.wait_line(r"CAN bus opened: gs_usb (0|LAB0001) \(serial LAB0001")
        shell.end()
    assert not adapter.status()["channels"][0]["started"]


def test_unplugged_and_plugged_again_with_a_client_that_stays(plug: Plug) -> None:
    adapter = plug("--rate", "50")
    with Shell("cancorder-canlogger -v --no-zeroconf", BIN) as shell, Client(shell.wait_port()) as viewer:
        viewer.wait_frames(20)
        adapter.unplug()
        shell.wait_line("CAN error, trying again: .*has been unplugged")
        shell.wait_line("Waiting for the adapter: there is no gs_usb adapter")
        adapter.plug()
        shell.wait_line("CAN bus is open again")
        viewer.wait_more()
        assert not viewer.ended
        shell.end()


def test_the_second_adapter_is_channel_1(plug: Plug) -> None:
    for number in (0, 1):
        plug("--serial", f"NUMBER{number}", "--rate", "50")
    with Shell("cancorder-canlogger -c 1 --no-zeroconf", BIN) as shell:
        shell.wait_line(r"CAN bus opened: gs_usb 1 \(serial NUMBER")
        try_out(shell)
        shell.end()


def test_an_adapter_of_the_kernel_is_taken_and_given_back(kernel_driver: None, plug: Plug) -> None:
    adapter = plug("--rate", "50")
    link = adapter.wait_link()
    with Shell("cancorder-canlogger --no-zeroconf", BIN) as shell:
        shell.wait_line("CAN bus opened: gs_usb 0")
        try_out(shell)
        shell.end()
    if any("Fatal Python error: Aborted" in line for line in shell.lines):
        pytest.skip(
            "too slow, without KVM: libusb did not let go of its transfers in the 1.5 s of a worker's end"
        )
    assert adapter.wait_link() == link


def test_an_adapter_in_use_by_the_kernel_stays_there_and_is_served_as_socketcan(
    kernel_driver: None, plug: Plug
) -> None:
    adapter = plug("--rate", "50")
    link = adapter.wait_link()
    subprocess.run(["ip", "link", "set", link, "up", "type", "can", "bitrate", "250000"], check=True)
    with Shell("cancorder-canlogger --no-zeroconf", BIN) as shell:
        shell.wait_line("Failed to open CAN bus: .*belongs to the kernel's driver")
        shell.wait_line(f"Trying the socketcan interface {link}")
        shell.wait_line(f"CAN bus opened: socketcan {link}")
        shell.wait_line("The interface keeps its bitrate of 250000")
        try_out(shell)
        shell.end()
