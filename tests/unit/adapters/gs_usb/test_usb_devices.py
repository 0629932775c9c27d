"""The adapter that a gs_usb bus opens, and the reasons if it cannot."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
import usb.core
from gs_usb.gs_usb import GsUsb

from cancorderd.adapters.device_permission import forbidden_reason
from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.gs_usb import source, usb_devices
from cancorderd.adapters.gs_usb.usb_devices import UsbAdapter, choose
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter, compiler
from tests.support.gs_usb_adapter import HW_TIMESTAMP, frame
from tests.support.gs_usb_source import gs_usb_settings, opened
from tests.support.source_reading import frames_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


def test_two_adapters_at_once_by_their_serial_numbers(usb_bus: FakeUsb) -> None:
    left = FakeUsbAdapter(usb_bus, port=1, serial="LEFT")
    right = FakeUsbAdapter(usb_bus, port=2, serial="RIGHT")
    with opened(serial="RIGHT") as source, opened(serial="LEFT") as other:
        right.receive(frame(2))
        assert frames_of(source, 1)[0].arbitration_id == 2
        left.receive(frame(1))
        assert frames_of(other, 1)[0].arbitration_id == 1
    with (
        pytest.raises(
            AdapterAbsent, match=r"with serial number NONE; there are: .*LEFT.*RIGHT.*Plug the adapter in"
        ),
        opened(serial="NONE"),
    ):
        pass


def listed(*places: tuple[int, int, str]) -> list[UsbAdapter]:
    return [UsbAdapter(None, bus, address, (1,), serial, 0x1D50, 0x606F) for bus, address, serial in places]


@pytest.mark.parametrize(
    ("keys", "serial"),
    [
        ({}, "A"),
        ({"index": 1}, "B"),
        ({"serial": "C"}, "C"),
        ({"bus": 2}, "C"),
        ({"bus": 1, "address": 5}, "B"),
        ({"address": 9}, "C"),
        ({"index": 3}, None),
        ({"serial": "c"}, None),
        ({"bus": 2, "address": 5}, None),
    ],
)
def test_adapter_chosen_by_the_settings(keys: dict[str, Any], serial: str | None) -> None:
    found = listed((1, 4, "A"), (1, 5, "B"), (2, 9, "C"))
    wanted = gs_usb_settings(**keys)
    if serial:
        assert choose(found, wanted).serial == serial
    else:
        with pytest.raises(AdapterAbsent, match=r"there are: gs_usb adapter A at usb 1-1, .*correct"):
            choose(found, wanted)


def test_missing_permission_is_a_reason_to_wait(adapter: FakeUsbAdapter) -> None:
    adapter.refuse(open=errno.EACCES)
    with pytest.raises(AdapterAbsent, match=r"no permission for /dev/bus/usb/001/011 as user"), opened():
        pass


def test_remedy_of_a_missing_permission_is_a_udev_rule(adapter: FakeUsbAdapter) -> None:
    (found,) = usb_devices.adapters()
    assert "no permission" in usb_devices.forbidden_adapter_reason(found)
    reason = forbidden_reason("/etc/shadow", "RULE")
    assert "RULE" in reason or "usermod" in reason
    assert adapter.held == (0, 0, 0)


def test_adapter_in_use_by_another_program(adapter: FakeUsbAdapter) -> None:
    adapter.refuse(claim=errno.EBUSY)
    with pytest.raises(BusError, match="in use by another program"), opened():
        pass
    assert adapter.held == (0, 0, 0)
    assert adapter.modes == []


def test_adapter_that_the_kernel_holds_is_refused_with_its_interface(
    adapter: FakeUsbAdapter, tmp_path: Path
) -> None:
    adapter.driver = True
    (tmp_path / "sysfs" / "1-1").mkdir(parents=True)
    (tmp_path / "sysfs" / "1-1" / "serial").write_text("LAB0001\n")
    (tmp_path / "sysfs" / "1-1:1.0" / "net" / "can3").mkdir(parents=True)
    with pytest.raises(SettingsRefused, match=r'Use interface = "socketcan", channel = "can3"'), opened():
        pass
    assert adapter.driver
    assert adapter.modes == []


def test_kernel_driver_is_detached_if_configured_and_attached_again(
    adapter: FakeUsbAdapter,
) -> None:
    adapter.driver = True
    with opened(detach_kernel_driver=True) as source:
        assert not adapter.driver
        adapter.receive(frame(1))
        frames_of(source, 1)
    assert adapter.driver


def test_listen_only(adapter: FakeUsbAdapter) -> None:
    with opened(listen_only=True):
        assert adapter.channels[0].mode == 1 | HW_TIMESTAMP
    adapter.features &= ~1
    with (
        pytest.raises(SettingsRefused, match=r"has no listen-only mode. Write listen_only = false"),
        opened(listen_only=True),
    ):
        pass
    assert adapter.held == (0, 0, 0)


def test_fd_is_refused_if_the_adapter_is_classic(adapter: FakeUsbAdapter) -> None:
    with (
        pytest.raises(SettingsRefused, match=r"LAB0001 .*has no CAN FD. Write fd = false"),
        opened(fd=True, data_bitrate=2_000_000),
    ):
        pass
    assert adapter.held == (0, 0, 0)
    assert adapter.modes == []


def test_bitrate_is_refused_if_the_clock_cannot_make_it(adapter: FakeUsbAdapter) -> None:
    with (
        pytest.raises(SettingsRefused, match=r"cannot do bitrate 930000: its clock is 48 MHz"),
        opened(bitrate=930_000),
    ):
        pass
    assert adapter.modes == []


def test_bus_is_refused_if_libusb_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan() -> None:
        raise usb.core.NoBackendError("No backend available")

    monkeypatch.setattr(GsUsb, "scan", scan)
    with pytest.raises(SettingsRefused, match="apt-get install libusb"), opened():
        pass


def test_mode_flags_of_an_adapter_with_every_feature() -> None:
    wanted = gs_usb_settings(fd=True, listen_only=True)
    assert source.mode_flags(wanted, 0xFFFF) == 1 | 1 << 8 | HW_TIMESTAMP
