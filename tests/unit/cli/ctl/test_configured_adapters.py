"""Which bus of the configuration a detected adapter is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.scan import FoundAdapter
from cancorderd.cli.ctl.configured_adapters import bus_of
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from pathlib import Path


def gs_usb(**keys: Any) -> FoundAdapter:
    return FoundAdapter("gs_usb", "0031", "candleLight", "detected", keys, serial="0031", usb_port="1-2")


BY_SERIAL, BY_PORT = gs_usb(serial="0031"), gs_usb(usb_port="1-2")


@pytest.mark.parametrize(
    ("found", "keys", "same"),
    [
        (BY_SERIAL, {"serial": "0031"}, True),
        (BY_SERIAL, {"serial": "0032"}, False),
        (BY_PORT, {"serial": "0031"}, False),  # several adapters have this serial number
        (BY_SERIAL, {"usb_port": "1-2"}, True),
        (BY_PORT, {"usb_port": "1-2"}, True),
        (BY_PORT, {"usb_port": "1-3"}, False),
        (BY_SERIAL, {"index": 0}, False),
        (BY_SERIAL, {}, False),
        (BY_SERIAL, {"serial": "0031", "enabled": False}, False),
        (BY_SERIAL._replace(keys=None), {"serial": "0031"}, False),
    ],
)
def test_a_gs_usb_adapter_is_the_bus_that_names_its_serial_number_or_socket(
    found: FoundAdapter, keys: dict[str, Any], same: bool
) -> None:
    buses = [valid_settings("mock", name="a"), valid_settings("gs_usb", name="b", **keys)]
    assert bus_of(found, buses) == ("b" if same else None)


def test_a_serial_port_is_the_bus_that_names_its_path_or_the_serial_number_of_its_adapter(
    tmp_path: Path,
) -> None:
    port, by_id = tmp_path / "ttyACM0", tmp_path / "by-id"
    port.touch()
    by_id.symlink_to(port)
    found = FoundAdapter("slcan", str(port), "CANable", "detected", {"channel": str(port)}, serial="AA6")
    for keys, same in [
        ({"channel": str(port)}, True),
        ({"channel": str(by_id)}, True),
        ({"channel": f"{port}1"}, False),
        ({"serial": "AA6"}, True),
        ({"serial": "AA7"}, False),
    ]:
        buses = [
            valid_settings("slcan", name="other", channel="/dev/ttyS9"),
            valid_settings("slcan", name="b", **keys),
        ]
        assert bus_of(found, buses) == ("b" if same else None), keys
    assert bus_of(found, [valid_settings("slcan", name="b", channel=str(port), enabled=False)]) is None


def test_the_bus_may_have_any_name() -> None:
    """The adapter takes part in the search for conflicts as a bus of its own, whose name must not be in use."""
    found = FoundAdapter("pcan", "PCAN_USBBUS1", "", "detected", {"channel": "PCAN_USBBUS1"})
    for name in ("found", "0", "1"):
        buses = [
            *(
                valid_settings("pcan", name=other, channel=f"other {other}")
                for other in ("found", "0", "1")
                if other != name
            ),
            valid_settings("pcan", name=name, channel="PCAN_USBBUS1"),
        ]
        assert bus_of(found, buses) == name
