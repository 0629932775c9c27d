"""What the kernel says of its links, from what it really said."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cancorderd.sources.can_link_messages import Bittiming, Link, acknowledged, answer, names, request

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
        Bittiming(500_000, 0.875, 16), None, False, False, 0, (0, 0),
    ),
    "kvaser_pci never configured": Link(
        3, "can1", True, False, False, 16, "can", 0, 0, "stopped", None, None, False, False, 0, (0, 0),
    ),
    # It has no counters of errors, and had one frame for which nobody listened.
    "gs_usb fd error-passive": Link(
        7, "can2", True, True, True, 72, "can", 1, 0, "error-passive",
        Bittiming(500_000, 0.75, 16), Bittiming(2_000_000, 0.75, 24), True, True, 0, None,
    ),
    "vcan down": Link(6, "vcan0", True, False, False, 72, "vcan"),
    "loopback": Link(1, "lo", False, True, True, 65536, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_what_the_kernel_answered(name: str) -> None:
    assert answer(CAPTURED[name], SEQUENCE) == LINKS[name]


def test_an_interface_that_is_not_there_is_told_as_its_error() -> None:
    with pytest.raises(OSError, match="No such device") as raised:
        answer(CAPTURED["no such interface"], SEQUENCE)
    assert raised.value.errno == errno.ENODEV


def test_answers_to_other_requests_are_none() -> None:
    assert answer(CAPTURED["kvaser_pci up"], SEQUENCE + 1) is None
    assert answer(CAPTURED["no such interface"], SEQUENCE + 1) is None
    assert answer(b"", SEQUENCE) is None
    assert answer(struct.pack("=IHHII", 16, 16, 0, SEQUENCE, 0), SEQUENCE) is None


def test_the_answer_is_found_behind_others() -> None:
    both = CAPTURED["no such interface"].replace(b"\7\0\0\0", b"\6\0\0\0", 1) + CAPTURED["vcan down"]
    assert answer(both, SEQUENCE) == LINKS["vcan down"]


def test_an_acknowledgement_is_told_and_a_refusal_raised_in_the_kernels_words() -> None:
    assert acknowledged(CAPTURED["restart-ms taken"], SEQUENCE)
    assert not acknowledged(CAPTURED["restart-ms taken"], SEQUENCE + 1)
    with pytest.raises(OSError, match="Device doesn't support restart from Bus Off") as told:
        acknowledged(CAPTURED["restart-ms refused"], SEQUENCE)
    assert not str(told.value).endswith(".")
    assert told.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="No such device") as untold:
        acknowledged(CAPTURED["no such interface"], SEQUENCE)
    assert untold.value.errno == errno.ENODEV


def test_notifications_name_their_interfaces() -> None:
    both = CAPTURED["vcan7 added"] + CAPTURED["vcan7 removed"] + CAPTURED["kvaser_pci up"]
    assert names(both) == {"vcan7", "can0"}
    assert names(CAPTURED["vcan7 removed"]) == {"vcan7"}
    assert names(CAPTURED["no such interface"]) == set()


def test_a_request_is_as_the_kernel_wants_it() -> None:
    header, name = request("can0", SEQUENCE)[:16], request("can0", SEQUENCE)[32:]
    assert struct.unpack("=IHHII", header) == (44, 18, 1, SEQUENCE, 0)
    assert name == struct.pack("=HH8s", 9, 3, b"can0")


@given(st.sampled_from(sorted(CAPTURED)), st.data())
def test_whatever_is_cut_off_or_changed_is_read_without_a_crash(name: str, data: st.DataObject) -> None:
    damaged = bytearray(CAPTURED[name])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    names(bytes(damaged))
    try:
        answer(bytes(damaged), SEQUENCE)
    except OSError as error:
        assert error.errno is not None
