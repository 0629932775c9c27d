"""Serial ports as adapters, and the version that an emulated adapter answers."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.scan import ScanOptions
from cancorderd.adapters.slcan import scan
from cancorderd.adapters.slcan.scan import Answer, Port
from tests.support.descriptors import low_descriptors_in_use
from tests.support.harness import busy_limit_s
from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from pathlib import Path

CANABLE = Port("/dev/serial/by-id/usb-x", "/dev/ttyACM0", (0x16D0, 0x117E), "CANable2 b158aa7")
USBTIN = Port("/dev/ttyACM1", "/dev/ttyACM1", (0x04D8, 0x000A))
OTHER = Port("/dev/ttyACM2", "/dev/ttyACM2", (0x1A86, 0x7523), "USB Serial")
PLAIN = Port("/dev/ttyS0", "/dev/ttyS0", asked_for=True)
V = Answer("V1013")
MUTE = Answer(None)
PORTS = [
    pytest.param(CANABLE, None, "there", True, id="known by its id"),
    pytest.param(OTHER._replace(product="USBtin"), None, "there", True, id="known by its name"),
    pytest.param(CANABLE, V, "answers V1013", True, id="known, answers"),
    pytest.param(CANABLE, MUTE, "does not answer to V", True, id="known, mute"),
    pytest.param(
        CANABLE, Answer(None, "in use by another program"), "in use by another program", True, id="taken"
    ),
    pytest.param(CANABLE._replace(accessible=False), None, "no permission", True, id="forbidden"),
    pytest.param(USBTIN, None, "perhaps", False, id="shared id"),
    pytest.param(USBTIN, V, "answers V1013", True, id="shared id, answers"),
    pytest.param(USBTIN, MUTE, "does not answer to V", False, id="shared id, mute"),
    pytest.param(OTHER, None, None, False, id="another device"),
    pytest.param(OTHER, MUTE, None, False, id="another device, mute"),
    pytest.param(OTHER, V, "answers V1013", True, id="another device, answers"),
    pytest.param(PLAIN, MUTE, "does not answer to V", False, id="asked for, mute"),
    pytest.param(PLAIN, V, "answers V1013", True, id="asked for, answers"),
]


@pytest.mark.parametrize(("port", "answer", "state", "ready"), PORTS)
def test_port_as_an_adapter(port: Port, answer: Answer | None, state: str | None, ready: bool) -> None:
    found = scan.found_adapter(port, answer)
    assert (found.state if found else None) == state
    assert (found.keys if found else None) == ({"channel": port.path} if ready else None)


VERSIONS = [
    (b"V1013\r", "V1013"),
    (b"\a\aV1013\r", "V1013"),
    (b"t1008AABBCCDDEEFF0011\rV1013\rt1230\r", "V1013"),
    (b"16e7497 github.com/normaldotcom/canable2.git\r", "16e7497 github.com/normaldotcom/canable2.git"),
    (b"VL2K1\r\n", "VL2K1"),
    (b"V1.05\r", "V1.05"),
    (b"+Board: X\tMCU: STM32G431\tSlcan: 100\r", "+Board: X MCU: STM32G431 Slcan: 100"),
    (b"CANable\t2.5\tb250813\r\n", "CANable 2.5 b250813"),
    (b"V\rV\r", None),  # echoed by the device
    (b"Voltage: 12.31 V\r\n", None),
    (b"V12.31\r\n", None),
    (b"V: 12.31\r\n", None),
    (b"Value\r\n", None),
    (b"Version 2.1 of the modem\r\n", None),
    (b"sh: V: not found\r\n", None),
    (b"\a", None),
    (b"t1230\r", None),
    (b"$GPGGA,V12\r\n", None),
    (b"\xff\xfeV1\xff\r", None),
]


@pytest.mark.parametrize(("text", "expected"), VERSIONS)
def test_version_in_a_text(text: bytes, expected: str | None) -> None:
    assert scan.version_in(text) == expected


def ask_version(path: Path) -> Answer:
    (port,) = (port for port in scan.ports((str(path),)) if port.asked_for)
    return scan.ask_version(port)


def test_port_is_free_again_after_the_answer(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty"):
        assert ask_version(tmp_path / "tty") == Answer("V1013")
        assert ask_version(tmp_path / "tty") == Answer("V1013")


def test_open_adapter_answers_between_its_frames_and_stays_open(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=500) as emulated:
        emulated.adapter.bitrate, emulated.adapter.open = "S6", True
        assert ask_version(tmp_path / "tty") == Answer("V1013")
        assert emulated.adapter.open


def test_mute_device_is_abandoned_in_time(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty") as emulated:
        emulated.adapter.muted = True
        began_s = time.monotonic()
        assert ask_version(tmp_path / "tty") == Answer(None)
        assert time.monotonic() - began_s < busy_limit_s(6)


def test_port_that_is_in_use_or_absent_has_a_reason(tmp_path: Path) -> None:
    assert ask_version(tmp_path / "none").reason == "does not exist"
    with SlcanAdapter(tmp_path / "tty"):
        descriptor = os.open(tmp_path / "tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            assert ask_version(tmp_path / "tty").reason == "in use by another program"
        finally:
            os.close(descriptor)


def test_scan_asks_the_ports_to_probe(tmp_path: Path) -> None:
    path = str(tmp_path / "tty")
    with SlcanAdapter(tmp_path / "tty"):
        found = scan.scan(ScanOptions(probe=[path])).found
    assert [adapter.state for adapter in found if adapter.channel == path] == ["answers V1013"]


def test_high_descriptor_is_no_obstacle(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty"), low_descriptors_in_use():
        assert ask_version(tmp_path / "tty") == Answer("V1013")
