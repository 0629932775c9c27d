from __future__ import annotations

import errno
from typing import NoReturn

import pytest

from cancorderd.adapters import detection
from cancorderd.adapters.failures import SettingsRefused
from cancorderd.adapters.registry import Adapter
from cancorderd.adapters.scan import FoundAdapter, ScanOptions, ScanResult
from cancorderd.config.bus_settings import BusSettings

FOUND = FoundAdapter("slcan", "/dev/ttyACM0", "CANable 2", "there", {"channel": "/dev/ttyACM0"})
OPTIONS = ScanOptions(probe=["/dev/ttyACM0"])


def row(name: str, outcome: ScanResult | Exception) -> Adapter:
    """An adapter whose scan has this outcome."""

    def scan(options: ScanOptions) -> ScanResult:
        assert options == OPTIONS
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def open_source(settings: BusSettings) -> NoReturn:
        pytest.fail("a scan opens no source")

    return Adapter(name, lambda: BusSettings, open_source, scan=scan)


def test_failed_scans_become_notes_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row("socketcan", PermissionError(errno.EPERM, "Operation not permitted")),
        row("gs_usb", SettingsRefused("libusb is not installed. Install it.")),
        row("slcan", ScanResult([FOUND])),
        row("toucan", ModuleNotFoundError("No module named 'x'")),
        row("mock", ScanResult([]))._replace(scan=None),
    ]
    monkeypatch.setattr(detection, "ADAPTERS", {adapter.name: adapter for adapter in rows})
    monkeypatch.setattr(detection, "PYTHON_CAN", row("python-can", ScanResult([FOUND], ["No answer."])))
    assert detection.detect(OPTIONS) == ScanResult(
        [FOUND, FOUND],
        [
            "socketcan adapters could not be searched for: Operation not permitted.",
            "gs_usb adapters could not be searched for: libusb is not installed. Install it.",
            "toucan adapters could not be searched for: No module named 'x'.",
            "No answer.",
        ],
    )
