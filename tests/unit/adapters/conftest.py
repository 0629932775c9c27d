from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters import sysfs
from cancorderd.config import settings_json
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make_settings() -> Callable[..., Any]:
    """Returns a function that makes settings of a bus as a worker gets them: validated, sent as JSON, rebuilt."""

    def make(interface: str, **keys: Any) -> Any:
        return settings_json.from_json(settings_json.to_json(valid_settings(interface, **keys)))

    return make


@pytest.fixture(scope="session")
def usb_library(tmp_path_factory: pytest.TempPathFactory) -> FakeUsb:
    return FakeUsb(tmp_path_factory.mktemp("libusb"))


@pytest.fixture
def usb_bus(usb_library: FakeUsb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUsb]:
    """A USB bus without devices, and a sysfs without entries."""
    monkeypatch.setattr(sysfs, "USB_DEVICES", str(tmp_path / "sysfs"))
    usb_library.install()
    yield usb_library
    usb_library.close()


@pytest.fixture
def adapter(usb_bus: FakeUsb) -> FakeUsbAdapter:
    """A gs_usb adapter on `usb_bus`."""
    return FakeUsbAdapter(usb_bus)
