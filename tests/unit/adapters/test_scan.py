from __future__ import annotations

import pytest

from cancorderd.adapters.scan import FoundAdapter, ScanOptions


@pytest.mark.parametrize(
    ("keys", "table"),
    [
        ({"channel": "/dev/ttyX"}, {"interface": "slcan", "channel": "/dev/ttyX"}),
        ({}, {"interface": "slcan"}),
        (None, {"interface": "slcan"}),
    ],
)
def test_table_of_an_adapter_has_its_interface_and_its_keys(
    keys: dict[str, str] | None, table: dict[str, str]
) -> None:
    found = FoundAdapter("slcan", "/dev/ttyX", "Maker", "ready", keys)
    assert found.table == table
    assert (found.remedy, found.serial, found.usb_port) == ("", None, None)


def test_scan_touches_nothing_unless_asked_to() -> None:
    assert ScanOptions() == (None, False)
