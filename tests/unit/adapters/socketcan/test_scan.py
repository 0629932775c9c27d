from pathlib import Path

import pytest

from cancorderd.adapters import sysfs
from cancorderd.adapters.socketcan import scan
from cancorderd.adapters.socketcan.link import Link, LinkTiming

CAN0 = Link(
    3, "can0", True, True, True, 16, "can", controller="error-active", bittiming=LinkTiming(250_000, 0, 0)
)
VCAN0 = Link(4, "vcan0", True, True, True, 16, "vcan")
LINKS = [
    (CAN0, "up, 250000 bit/s", {"channel": "can0", "bitrate": 250_000}, ""),
    (
        CAN0._replace(mtu=72, data_bittiming=LinkTiming(2_000_000, 0, 0), controller="bus-off"),
        "up, 250000 bit/s, FD 2000000 bit/s, bus-off",
        {"channel": "can0", "bitrate": 250_000, "fd": True, "data_bitrate": 2_000_000},
        "",
    ),
    (
        CAN0._replace(up=False, bittiming=None, controller="stopped"),
        "down",
        {"channel": "can0"},
        "bring it up: ip link set can0 up type can bitrate 500000, or write configure = true in its bus",
    ),
    (VCAN0._replace(mtu=72), "up, FD", {"channel": "vcan0", "fd": True}, ""),
    (VCAN0._replace(up=False), "down", {"channel": "vcan0"}, "bring it up: ip link set vcan0 up"),
]


@pytest.mark.parametrize(("link", "state", "keys", "remedy"), LINKS)
def test_link_as_an_adapter(link: Link, state: str, keys: dict[str, object], remedy: str) -> None:
    found = scan.found_adapter(link)
    assert (found.state, found.keys, found.remedy) == (state, keys, remedy)


def test_real_links_precede_virtual_ones_and_numbers_count() -> None:
    links = [VCAN0, *(CAN0._replace(name=name) for name in ("can10", "can2", "slcan0"))]
    assert [link.name for link in scan.in_order(links)] == ["can2", "can10", "slcan0", "vcan0"]


def test_device_name_of_a_usb_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "NETWORK_INTERFACES", str(tmp_path / "net"))
    interface = tmp_path / "usb" / "1-2" / "1-2:1.0"
    interface.mkdir(parents=True)
    (tmp_path / "net" / "can0").mkdir(parents=True)
    (tmp_path / "net" / "can0" / "device").symlink_to(interface)
    assert scan.device_name("can0") == ""
    (interface.parent / "product").write_text("candleLight\n")
    (interface.parent / "serial").write_text("0031\n")
    assert scan.device_name("can0") == "candleLight 0031"
