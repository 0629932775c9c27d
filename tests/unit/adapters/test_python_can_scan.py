"""python-can's drivers, asked in a process of their own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters import python_can_scan
from cancorderd.cli.ctl.configured_adapters import usable
from tests.support.descriptors import low_descriptors_in_use
from tests.support.harness import busy_limit_s

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATIONS = [
    ({"interface": "pcan", "channel": "PCAN_USBBUS1", "device_name": "PCAN-USB"}, {}),
    ({"interface": "kvaser", "channel": 0, "serial": 5}, {}),
    ({"interface": "neovi", "channel": 1, "serial": "AB"}, {"options": {"serial": "AB"}}),
    ({"interface": "vector", "channel": 0, "serial": None}, {}),
]


@pytest.mark.parametrize(("configuration", "more"), CONFIGURATIONS)
def test_detected_configuration_as_an_adapter(
    configuration: dict[str, object], more: dict[str, object]
) -> None:
    found = python_can_scan.found_adapter(configuration)
    assert found
    assert found.channel == str(configuration["channel"])
    assert found.keys == {"channel": configuration["channel"], **more}
    assert usable(found) == found


def test_detected_configuration_without_a_channel_is_skipped() -> None:
    assert python_can_scan.found_adapter({"interface": "pcan", "id": 5}) is None


def test_python_can_detects_its_virtual_interface() -> None:
    found, unanswered = python_can_scan.Search(["virtual"]).result()
    assert [adapter.interface for adapter in found] == ["virtual"]
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


def test_drivers_that_print_fail_or_hang_do_not_affect_others(
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
    monkeypatch.setattr(python_can_scan, "DEADLINE_S", 4.0)
    began_s = time.monotonic()
    found, unanswered = python_can_scan.Search(["noisy", "failing", "hanging"]).result()
    assert time.monotonic() - began_s < busy_limit_s(6)
    assert [(adapter.interface, adapter.channel) for adapter in found] == [("noisy", "1")]
    assert unanswered == ["hanging"]
    assert capfd.readouterr() == ("", "")


def test_buses_of_daemons_are_no_adapters() -> None:
    """cancorderd's plug-in for python-can detects buses of all daemons, this machine's too."""
    assert "udp_multicast" in python_can_scan.interfaces(software=True)
    assert "ecuconnect" not in python_can_scan.interfaces(software=True)


def test_high_descriptor_is_no_obstacle() -> None:
    with low_descriptors_in_use():
        found, unanswered = python_can_scan.Search(["virtual"]).result()
    assert ([adapter.interface for adapter in found], unanswered) == (["virtual"], [])
