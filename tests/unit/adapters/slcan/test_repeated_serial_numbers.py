"""slcan adapters that share a serial number: udev has one link in by-id for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from cancorderd.adapters.failures import AdapterAbsent
from cancorderd.adapters.slcan import scan, serial_port

if TYPE_CHECKING:
    from pathlib import Path


def port(device: str, serial: str | None, location: str) -> ListPortInfo:
    found = ListPortInfo(device)
    found.vid, found.pid, found.serial_number, found.location = 0x16D0, 0x117E, serial, location
    return found


def test_several_adapters_with_one_number_are_named_in_place_of_opening_one_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present = [port("/dev/ttyACM0", "SN0001", "1-1:1.0"), port("/dev/ttyACM1", "SN0001", "1-2:1.0")]
    monkeypatch.setattr(serial_port, "comports", lambda: present)
    with pytest.raises(
        AdapterAbsent,
        match=r"several adapters have the serial number SN0001: /dev/ttyACM0 or /dev/ttyACM1\. In place of",
    ):
        serial_port.port_with_serial("SN0001")
    present.pop()
    assert serial_port.port_with_serial("SN0001") == "/dev/ttyACM0"


def test_two_ports_of_one_adapter_are_one_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [port("/dev/ttyACM0", "A", "1-1:1.0"), port("/dev/ttyACM1", "A", "1-1:1.2")]
    monkeypatch.setattr(serial_port, "comports", lambda: present)
    assert serial_port.port_with_serial("A") == "/dev/ttyACM0"


def test_detect_lists_each_by_the_path_of_its_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    by_id, by_path = tmp_path / "by-id", tmp_path / "by-path"
    present = []
    for number, serial in enumerate(["SN0001", "SN0001", "OWN"]):
        device = tmp_path / f"ttyACM{number}"
        device.touch()
        for folder, name in ((by_id, f"usb-{serial}"), (by_path, f"usb-0:{number}")):
            folder.mkdir(exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(device)
        present.append(port(str(device), serial, f"1-{number}:1.0"))
    monkeypatch.setattr(scan, "BY_ID", str(by_id))
    monkeypatch.setattr(scan, "BY_PATH", str(by_path))
    monkeypatch.setattr(list_ports, "comports", lambda: present)
    assert {found.device: found.path for found in scan.ports()} == {
        present[0].device: f"{by_path}/usb-0:0",
        present[1].device: f"{by_path}/usb-0:1",
        present[2].device: f"{by_id}/usb-OWN",
    }
