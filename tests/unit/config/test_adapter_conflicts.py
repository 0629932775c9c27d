"""Two buses with one adapter: which key is at fault, and a message that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.config.conflicts import Conflict, conflicts
from cancorderd.config.loading import ConfigurationError, load
from tests.support.settings import valid_settings

if TYPE_CHECKING:
    from pathlib import Path

ONE_BUS = "There is one bus per adapter; use interface socketcan for both channels"


def conflict(interface: str, first: dict[str, Any], second: dict[str, Any]) -> Conflict | None:
    buses = [valid_settings(interface, name=name, **keys) for name, keys in (("a", first), ("b", second))]
    found = conflicts(buses)
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("first", "second", "key", "fact"),
    [
        ({"serial": "X"}, {"serial": "X", "channel": 1}, "channel", 'the adapter with serial number "X"'),
        ({"serial": "X", "channel": 1}, {"serial": "X"}, "serial", 'the adapter with serial number "X"'),
        ({}, {"channel": 1}, "channel", "adapter number 0"),
        ({"channel": 1}, {}, "channel", "adapter number 0"),
        ({}, {"index": 0, "channel": 2}, "channel", "adapter number 0"),
        ({"index": 1}, {"index": 1, "channel": 1}, "channel", "adapter number 1"),
        ({"usb_port": "1-2"}, {"usb_port": "1-2", "channel": 1}, "channel", "the adapter at usb 1-2"),
        ({"usb_port": "1-2"}, {"usb_port": "1-2"}, "usb_port", "the adapter at usb 1-2"),
        ({"bus": 1, "address": 5}, {"bus": 1, "address": 5}, "bus", "the adapter at bus 1 address 5"),
        ({"address": 5}, {"address": 5}, "address", "the adapter at address 5"),
    ],
)
def test_buses_with_channels_of_one_gs_usb_adapter(
    first: dict[str, Any], second: dict[str, Any], key: str, fact: str
) -> None:
    found = conflict("gs_usb", first, second)
    assert found
    assert (found.key, found.fact) == (key, f"{fact} is also the adapter of bus.a")
    assert found.remedy.startswith(ONE_BUS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"serial": "0"}, {"index": 0}),
        ({"serial": "1-2"}, {"usb_port": "1-2"}),
        ({"serial": "1:5"}, {"bus": 1, "address": 5}),
        ({"bus": 1}, {"index": 1}),
        ({"usb_port": "1-2"}, {"usb_port": "1-2.1"}),
    ],
)
def test_adapters_that_are_named_in_different_ways_are_no_conflict(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert conflict("gs_usb", first, second) is None


@pytest.mark.parametrize(
    "wrong",
    ['usb_port = "x"', 'serial = ""', "index = -1", "bus = 0", "address = 0", 'serial = "A"\nindex = 1'],
)
def test_bus_whose_adapter_is_unknown_conflicts_with_none(tmp_path: Path, wrong: str) -> None:
    """Without the wrong key it would mean the first adapter, as the other bus does."""
    file = tmp_path / "cancorder.toml"
    file.write_text(f'[bus.a]\ninterface = "gs_usb"\n{wrong}\n[bus.b]\ninterface = "gs_usb"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("interface", "keys", "key", "fact"),
    [
        ("slcan", {"serial": "1205AA6"}, "serial", '"1205AA6" is also the serial number of bus.a'),
        ("slcan", {"channel": "/dev/x"}, "channel", '"/dev/x" is also the channel of bus.a'),
        ("socketcan", {"channel": "can0"}, "channel", '"can0" is also the channel of bus.a'),
        ("pcan", {}, "channel", "the default channel of interface pcan is also the channel of bus.a"),
        ("toucan", {"channel": 3}, "channel", "3 is also the channel of bus.a"),
        ("toucan", {}, "channel", "0 is also the channel of bus.a"),
    ],
)
def test_buses_with_one_adapter_of_another_interface(
    interface: str, keys: dict[str, Any], key: str, fact: str
) -> None:
    found = conflict(interface, keys, keys)
    assert found
    assert (found.key, found.fact) == (key, fact)
