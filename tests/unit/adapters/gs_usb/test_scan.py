import pytest

from cancorderd.adapters.gs_usb.scan import Holder, found_adapter
from cancorderd.adapters.gs_usb.usb_devices import UsbAdapter

ADAPTER = UsbAdapter(None, 1, 5, (2, 3), "0031", 0x1D50, 0x606F)
ADAPTERS = [
    (ADAPTER, Holder(), "ready", {"serial": "0031"}, ""),
    (ADAPTER._replace(serial=None), Holder(), "ready", {"index": 4}, ""),
    (
        ADAPTER,
        Holder(links=("can0", "can1")),
        "held by the kernel as can0, can1",
        None,
        'use interface = "socketcan", channel = "can0"',
    ),
    (
        ADAPTER,
        Holder(forbidden=True),
        "no permission",
        {"serial": "0031"},
        "/dev/bus/usb/001/005",
    ),
]


@pytest.mark.parametrize(("adapter", "holder", "state", "keys", "remedy"), ADAPTERS)
def test_usb_adapter_as_an_adapter(
    adapter: UsbAdapter, holder: Holder, state: str, keys: dict[str, object] | None, remedy: str
) -> None:
    found = found_adapter(adapter, 4, "candleLight", holder)
    assert (found.state, found.keys) == (state, keys)
    assert remedy in found.remedy
    assert found.adapter == "candleLight (USB 1d50:606f, at 1-2.3)"
