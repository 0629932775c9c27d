"""Netlink messages: those captured from real kernels, and those that Linux 6.1 accepted."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.socketcan.link import (
    Link,
    LinkChange,
    LinkTiming,
    acknowledged,
    change_request,
    link_in,
    link_request,
    notified_names,
)

CAPTURED = {
    name: bytes.fromhex(text)
    for line in (Path(__file__).parent / "can_links.txt").read_text().splitlines()
    if not line.startswith("#")
    for name, text in [line.split(": ")]
}
SEQUENCE = 7

LINKS = {
    "kvaser_pci up": Link(
        2, "can0", True, True, True, 16, "can", 0, 0, "error-active",
        LinkTiming(500_000, 0.875, 16), None, False, False, 0, (0, 0),
    ),
    "kvaser_pci never configured": Link(
        3, "can1", True, False, False, 16, "can", 0, 0, "stopped", None, None, False, False, 0, (0, 0),
    ),
    # It has no error counters, and received a frame while no socket was open.
    "gs_usb fd error-passive": Link(
        7, "can2", True, True, True, 72, "can", 1, 0, "error-passive",
        LinkTiming(500_000, 0.75, 16), LinkTiming(2_000_000, 0.75, 24), True, True, 0, None,
    ),
    "vcan down": Link(6, "vcan0", True, False, False, 72, "vcan"),
    "loopback": Link(1, "lo", False, True, True, 65536, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_link_in_the_kernels_answer(name: str) -> None:
    assert link_in(CAPTURED[name], SEQUENCE) == LINKS[name]


def test_absent_interface_raises_the_kernels_error() -> None:
    with pytest.raises(OSError, match="No such device") as raised:
        link_in(CAPTURED["no such interface"], SEQUENCE)
    assert raised.value.errno == errno.ENODEV


def test_answers_to_other_requests_are_ignored() -> None:
    assert link_in(CAPTURED["kvaser_pci up"], SEQUENCE + 1) is None
    assert link_in(CAPTURED["no such interface"], SEQUENCE + 1) is None
    assert link_in(b"", SEQUENCE) is None
    assert link_in(struct.pack("=IHHII", 16, 16, 0, SEQUENCE, 0), SEQUENCE) is None


def test_answer_is_found_behind_others() -> None:
    both = CAPTURED["no such interface"].replace(b"\7\0\0\0", b"\6\0\0\0", 1) + CAPTURED["vcan down"]
    assert link_in(both, SEQUENCE) == LINKS["vcan down"]


def test_acknowledgement_is_recognised_and_refusal_raised_in_the_kernels_words() -> None:
    assert acknowledged(CAPTURED["restart-ms taken"], SEQUENCE)
    assert not acknowledged(CAPTURED["restart-ms taken"], SEQUENCE + 1)
    with pytest.raises(OSError, match="Device doesn't support restart from Bus Off") as refused:
        acknowledged(CAPTURED["restart-ms refused"], SEQUENCE)
    assert not str(refused.value).endswith(".")
    assert refused.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="No such device") as without_text:
        acknowledged(CAPTURED["no such interface"], SEQUENCE)
    assert without_text.value.errno == errno.ENODEV


@pytest.mark.parametrize("code", [b"\0\0\0\x80", b"\7\0\0\0", b"\0\xf0\xff\xff"])
def test_error_number_that_no_kernel_has_is_a_refusal(code: bytes) -> None:
    message = struct.pack("=IHHII", 36, 2, 0, SEQUENCE, 0) + code + bytes(16)
    for read in (link_in, acknowledged):
        with pytest.raises(OSError) as refused:
            read(message, SEQUENCE)
        assert refused.value.errno == errno.EPROTO


def test_notifications_name_their_interfaces() -> None:
    both = CAPTURED["vcan7 added"] + CAPTURED["vcan7 removed"] + CAPTURED["kvaser_pci up"]
    assert notified_names(both) == {"vcan7", "can0"}
    assert notified_names(CAPTURED["vcan7 removed"]) == {"vcan7"}
    assert notified_names(CAPTURED["no such interface"]) == set()


def test_link_request_has_the_layout_of_rtnetlink() -> None:
    header, name = link_request("can0", SEQUENCE)[:16], link_request("can0", SEQUENCE)[32:]
    assert struct.unpack("=IHHII", header) == (44, 18, 1, SEQUENCE, 0)
    assert name == struct.pack("=HH8s", 9, 3, b"can0")


@given(st.sampled_from(sorted(CAPTURED)), st.data())
def test_damaged_messages_are_read_without_a_crash(name: str, data: st.DataObject) -> None:
    damaged = bytearray(CAPTURED[name])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    notified_names(bytes(damaged))
    try:
        link_in(bytes(damaged), SEQUENCE)
    except OSError as error:
        assert error.errno is not None


needs_pyroute2 = pytest.mark.skipif(find_spec("pyroute2") is None, reason="netlink is part of Linux")
HEAD = "{size:02x}000000 1000 0500 09000000 00000000 0000 0000 05000000 {flags} {change}"


def head(size: int, flags: int = 0, change: int = 0) -> str:
    """nlmsghdr (RTM_NEWLINK, REQUEST and ACK, sequence 9) and ifinfomsg (interface 5)."""
    return HEAD.format(size=size, flags=flags.to_bytes(4, "little").hex(), change=f"{change:02x}000000")


CHANGES = {
    "down": (LinkChange("", up=False), head(32, 0, 1)),
    "up": (LinkChange("", up=True), head(32, 1, 1)),
    "mtu": (LinkChange("fd", mtu=72), head(40) + "08000400 48000000"),
    "controller": (
        LinkChange(
            "fd",
            can={
                "IFLA_CAN_CTRLMODE": {"listenonly": "on", "fd": "off"},
                "IFLA_CAN_BITTIMING": {"bitrate": 500_000, "sample_point": 875},
                "IFLA_CAN_RESTART_MS": 100,
            },
        ),
        head(104) + "48001200 08000100 63616e00 3c000200 0c000500 22000000 02000000"
        "24000100 20a10700 6b030000" + "00000000" * 6 + "08000600 64000000",
    ),
}
PROBE = """
import sys
import cancorderd.worker.__main__
from cancorderd.adapters.socketcan.link import LinkChange, change_request
assert "pyroute2" not in sys.modules
change_request(5, LinkChange("", up=True), 9)
print(*sorted(set(sys.modules) & {"asyncio", "sqlite3", "pyroute2.ndb", "pyroute2.iproute"}))
import pyroute2.netlink
"""


@needs_pyroute2
@pytest.mark.skipif(sys.byteorder == "big", reason="the messages are in the byte order of the machine")
@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_change_is_one_message(change: LinkChange, expected: str) -> None:
    assert change_request(5, change, 9).hex() == expected.replace(" ", "")


@needs_pyroute2
def test_worker_that_sets_a_link_up_does_not_load_all_of_pyroute2() -> None:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert probe.stdout.split() == []
