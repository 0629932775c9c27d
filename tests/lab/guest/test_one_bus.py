"""The command lines of the ancestor's README, on a real SocketCAN and a network with avahi."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import ancestors_commands
from tests.e2e.ancestors_command_as_user import try_out
from tests.e2e.ancestors_commands import Needs, Shell, lines, setup_lines
from tests.lab.guest import avahi
from tests.lab.guest.interfaces import cansend, ip, network, vcan
from tests.lab.guest.slcan_link import slcan_link
from tests.lab.guest.traffic import Traffic
from tests.support.harness import Client, poll
from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTING_UP = setup_lines()
CAN0_UP = "sudo ip link set can0 up type can bitrate 500000"


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    ancestors_commands.install(Path("/usr/local/bin"))


@pytest.fixture
def real_links(tmp_path: Path) -> Iterator[None]:
    """Create can0 and can1 as CAN hardware does: down, with traffic as soon as they are up."""
    with contextlib.ExitStack() as stack:
        for name in ("can0", "can1"):
            (tmp_path / name).mkdir()
            link, adapter = stack.enter_context(slcan_link(tmp_path / name))
            ip(f"link set {link} name {name}")
            stack.callback(ip, f"link set {name} down")
            adapter.rate = 50
        yield


def run(line: str) -> str:
    return subprocess.run(["sh", "-c", line], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("line", lines(Needs.SERIAL))
def test_line_for_a_serial_adapter(line: str) -> None:
    port = Path(line.split()[-1])
    with SlcanAdapter(port, rate=50), Shell(line) as shell:
        try_out(shell)
        shell.end()


@pytest.mark.parametrize("line", [line for line in lines(Needs.SOCKETCAN) if "vcan" not in line])
def test_line_for_an_interface(line: str, real_links: None) -> None:
    assert {CAN0_UP, "ip link show can0"} <= set(SETTING_UP)
    run(CAN0_UP)
    run(CAN0_UP.replace("can0", "can1"))
    assert "UP" in run("ip link show can0")
    with Shell(line) as shell:
        try_out(shell)
        shell.end()


def test_lines_for_a_virtual_interface() -> None:
    (line,) = [line for line in lines(Needs.SOCKETCAN) if "vcan" in line]
    for command in SETTING_UP:
        if "vcan" in command:
            run(command)
    try:
        with Traffic("vcan0"), Shell(line) as shell:
            try_out(shell)
            shell.end()
    finally:
        ip("link del vcan0")


def test_lines_with_netcat() -> None:
    assert "nc localhost <PORT_FROM_LOG> | xxd" in ancestors_commands.README
    with Shell("cancorder-mock-uds-canlogger --no-zeroconf") as shell:
        port = shell.wait_port()
        dump = run(f"nc localhost {port} | xxd | head -n 2")
        assert dump.startswith("00000000: 0006 "), dump
        assert " 0000 07e0 0008 0210  " in dump.splitlines()[0]


def test_interface_given_as_gs_usb_channel_is_opened_by_socketcan(vcan0: str) -> None:
    with Traffic(vcan0), Shell(f"cancorder-canlogger -c {vcan0}") as shell:
        shell.wait_line(
            f"gs_usb adapters have numbers, so {vcan0} is none of them. Trying the socketcan interface {vcan0}"
        )
        shell.wait_line(f"CAN bus opened: socketcan {vcan0}")
        try_out(shell)
        shell.end()


def test_another_adapter_is_searched_for_if_the_given_one_fails(vcan0: str) -> None:
    with Traffic(vcan0), Shell("cancorder-canlogger -i slcan -c /dev/none") as shell:
        shell.wait_line("Failed to open CAN bus: /dev/none does not exist")
        shell.wait_line("Trying auto-detection")
        shell.wait_line(f"CAN bus opened: socketcan {vcan0}")
        try_out(shell)
        shell.end()


def test_fd_frames_pass_if_the_interface_supports_them(vcan0: str) -> None:
    with (
        Shell(f"cancorder-canlogger -i socketcan -c {vcan0} -v") as shell,
        Client(shell.wait_port()) as viewer,
    ):
        cansend(vcan0, "123##1" + "A5" * 12)
        frame = viewer.wait_frames(1)[0]
        assert (frame.flags, frame.data) == (6, b"\xa5" * 12)
        shell.wait_line("ID=123 DLC=12 DATA=" + "a5" * 12)
        cansend(vcan0, "123#R")
        shell.wait_line(r"SKIP 1 remote frame\(s\)")


def test_removed_interface_is_waited_for() -> None:
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(contextlib.ExitStack())
        link.enter_context(vcan("vcan0"))
        shell = stack.enter_context(Shell("cancorder-canlogger -i socketcan -c vcan0"))
        viewer = stack.enter_context(Client(shell.wait_port()))
        link.close()
        shell.wait_line("CAN error, trying again: interface vcan0 went down")
        shell.wait_line("Waiting for the adapter: there is no interface vcan0")
        stack.enter_context(vcan("vcan0"))
        shell.wait_line("CAN bus is open again")
        with Traffic("vcan0"):
            viewer.wait_frames(10)
        shell.end()


@pytest.mark.parametrize(
    ("line", "instance", "text"),
    [
        (
            "cancorder-canlogger -i socketcan -c vcan0 -b 250000",
            "ECUconnect-Logger {host}:{port}",
            {
                "process": "cancorder-canlogger",
                "interface": "socketcan",
                "channel": "vcan0",
                "bitrate": "250000",
            },
        ),
        (
            "cancorder-canlogger --auto --service-name 'ECUconnect-Logger My TouCAN'",
            "ECUconnect-Logger My TouCAN",
            {
                "process": "cancorder-canlogger",
                "interface": "socketcan",
                "channel": "vcan0",
                "bitrate": "500000",
            },
        ),
        (
            "cancorder-mock-uds-canlogger --tester-id 0x7E2 --ecu-id 0x7EA",
            "ECUconnect-Logger Mock-UDS {host}:{port}",
            {
                "process": "cancorder-mock-uds-canlogger",
                "interface": "mock-uds",
                "tester_id": "0x7E2",
                "ecu_id": "0x7EA",
            },
        ),
    ],
)
def test_announcement_equals_that_of_the_ancestor(
    line: str, instance: str, text: dict[str, str], vcan0: str, fresh_avahi: None
) -> None:
    with network("lan0", "192.168.77.1/24"), Shell(line) as shell:
        port = shell.wait_port()
        shell.wait_line(r"\[zeroconf] Announced as ECUconnect-Logger ")

        def announced() -> avahi.Record | None:
            found = avahi.browse()
            return next((each for each in found if (each.interface, each.protocol) == ("lan0", "IPv4")), None)

        record = poll(announced, what="a record")
        assert record
        assert record.instance == instance.format(host=socket.gethostname(), port=port)
        assert record.port == port
        assert text.items() <= record.text.items()
        assert (record.text["system"], record.text["port"]) == (socket.gethostname(), str(port))
        shell.signal(signal.SIGTERM)
        shell.wait_line(r"\[zeroconf] Withdrew ECUconnect-Logger ")


def test_nothing_is_announced_with_no_zeroconf(vcan0: str) -> None:
    with Shell(f"cancorder-canlogger -i socketcan -c {vcan0} --no-zeroconf") as shell:
        shell.wait_port()
        with Client(shell.wait_port()), Traffic(vcan0):
            shell.wait_line("connected")
        shell.signal(signal.SIGTERM)
        shell.wait_line(r"\[stats]")
        assert not [line for line in shell.lines if "zeroconf" in line]
