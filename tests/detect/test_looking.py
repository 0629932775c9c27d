"""Asking real things: an emulated adapter for its version, python-can's drivers in a process of their own."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.detect import python_can, serial_ports
from cancorderd.detect.serial_ports import Answer
from tests.adapters.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from pathlib import Path


def ask(path: Path) -> Answer:
    (port,) = (one for one in serial_ports.ports((str(path),)) if one.asked_for)
    return serial_ports.ask(port)


def test_an_adapter_answers_and_its_port_is_free_again(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty"):
        assert ask(tmp_path / "tty") == Answer("V1013")
        assert ask(tmp_path / "tty") == Answer("V1013")


def test_an_open_adapter_answers_between_its_frames_and_stays_open(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty", rate=500) as emulated:
        emulated.adapter.bitrate, emulated.adapter.open = "S6", True
        assert ask(tmp_path / "tty") == Answer("V1013")
        assert emulated.adapter.open


def test_a_mute_device_is_given_up_in_time(tmp_path: Path) -> None:
    with SlcanAdapter(tmp_path / "tty") as emulated:
        emulated.adapter.muted = True
        began_s = time.monotonic()
        assert ask(tmp_path / "tty") == Answer(None)
        assert time.monotonic() - began_s < 4


def test_a_port_that_is_in_use_or_absent_says_so(tmp_path: Path) -> None:
    assert ask(tmp_path / "none").problem == "does not exist"
    with SlcanAdapter(tmp_path / "tty"):
        descriptor = os.open(tmp_path / "tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            assert ask(tmp_path / "tty").problem == "in use by another program"
        finally:
            os.close(descriptor)


def test_python_can_tells_of_its_virtual_interface() -> None:
    found, unanswered = python_can.Search(["virtual"]).result()
    assert [one.interface for one in found] == ["virtual"]
    assert unanswered == []


DRIVERS = """
import os, sys, time, can.interfaces
from can import BusABC
print("noise"); print("noise", file=sys.stderr)
class Noisy(BusABC):
    def _detect_available_configs():
        os.write(1, b"noise"); os.write(2, b"noise")
        return [{"channel": 1, "odd": object()}]
class Failing(BusABC):
    def _detect_available_configs():
        raise SystemError("broken")
class Hanging(BusABC):
    def _detect_available_configs():
        time.sleep(60)
"""


def test_drivers_that_print_fail_and_hang_spoil_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drivers.py").write_text(DRIVERS)
    info = tmp_path / "drivers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drivers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[can.interface]\nnoisy = drivers:Noisy\nfailing = drivers:Failing\nhanging = drivers:Hanging\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(python_can, "DEADLINE_S", 4.0)
    began_s = time.monotonic()
    found, unanswered = python_can.Search(["noisy", "failing", "hanging"]).result()
    assert time.monotonic() - began_s < 6
    assert [(one.interface, one.channel) for one in found] == [("noisy", "1")]
    assert unanswered == ["hanging"]
    assert capfd.readouterr() == ("", "")


def test_other_daemons_buses_are_no_adapters() -> None:
    """Nor are this one's, which its own plug-in for python-can would find."""
    assert "udp_multicast" in python_can.interfaces(software=True)
    assert "ecuconnect" not in python_can.interfaces(software=True)
