"""Messages that set a link up, as Linux 6.1 took them; and that they cost little."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cancorderd.sources.can_link_settings import Step

pytest.importorskip("pyroute2", reason="netlink is part of Linux")
HEAD = "{size:02x}000000 1000 0500 09000000 00000000 0000 0000 05000000 {flags} {change}"


def head(size: int, flags: int = 0, change: int = 0) -> str:
    """nlmsghdr (RTM_NEWLINK, REQUEST and ACK, sequence 9) and ifinfomsg (interface 5)."""
    return HEAD.format(size=size, flags=flags.to_bytes(4, "little").hex(), change=f"{change:02x}000000")


MESSAGES = {
    "down": (Step("", up=False), head(32, 0, 1)),
    "up": (Step("", up=True), head(32, 1, 1)),
    "mtu": (Step("fd", mtu=72), head(40) + "08000400 48000000"),
    "controller": (
        Step(
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
from cancorderd.sources import can_link_encoder, can_link_settings
assert "pyroute2" not in sys.modules
can_link_encoder.encode(5, can_link_settings.Step("", up=True), 9)
print(*sorted(set(sys.modules) & {"asyncio", "sqlite3", "pyroute2.ndb", "pyroute2.iproute"}))
import pyroute2.netlink
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the messages are in the byte order of the machine")
@pytest.mark.parametrize(("step", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_a_step_is_one_message(step: Step, expected: str) -> None:
    from cancorderd.sources.can_link_encoder import encode

    assert encode(5, step, 9).hex() == expected.replace(" ", "")


def test_a_worker_that_sets_a_link_up_does_not_load_all_of_pyroute2() -> None:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert probe.stdout.split() == []
