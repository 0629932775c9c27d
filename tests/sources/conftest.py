from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from cancorderd.config.model import Bus
from cancorderd.report import section_from_json
from cancorderd.sources import usb_devices
from tests.adapters.fake_libusb import FakeUsb, FakeUsbAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Section = Any


@pytest.fixture
def section() -> Callable[..., Section]:
    """Makes a bus section as a worker gets it: checked by its model, sent as JSON."""

    def make(interface: str, **keys: Any) -> Section:
        checked = TypeAdapter(Bus).validate_python({"name": "test", "interface": interface, **keys})
        return section_from_json(checked.model_dump_json())

    return make


@pytest.fixture(scope="session")
def usb_library(tmp_path_factory: pytest.TempPathFactory) -> FakeUsb:
    return FakeUsb(tmp_path_factory.mktemp("libusb"))


@pytest.fixture
def usb_bus(usb_library: FakeUsb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUsb]:
    """A USB without devices, and a sysfs without entries."""
    monkeypatch.setattr(usb_devices, "SYSFS", str(tmp_path / "sysfs"))
    usb_library.install()
    yield usb_library
    usb_library.close()


@pytest.fixture
def adapter(usb_bus: FakeUsb) -> FakeUsbAdapter:
    """A gs_usb adapter on it."""
    return FakeUsbAdapter(usb_bus)
