"""Adapters that share a serial number: named by their USB socket, in settings, `detect` and `auto`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.adapters.auto import settings_for, untaken
from cancorderd.adapters.auto_settings import AutoSettings
from cancorderd.adapters.failures import AdapterAbsent, BusError
from cancorderd.adapters.gs_usb import scan
from cancorderd.adapters.gs_usb.settings import GsUsbSettings
from cancorderd.adapters.gs_usb.usb_devices import UsbAdapter, adapters, choose
from cancorderd.adapters.scan import ScanOptions
from cancorderd.cli.ctl.configured_adapters import bus_of, usable
from cancorderd.config.validation import validated
from tests.support.fake_libusb import FakeUsb, FakeUsbAdapter, compiler
from tests.support.gs_usb_adapter import frame
from tests.support.gs_usb_source import gs_usb_settings, opened
from tests.support.settings import valid_settings
from tests.support.source_reading import frames_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


@pytest.fixture
def twins(usb_bus: FakeUsb, tmp_path: Path) -> Iterator[tuple[FakeUsbAdapter, FakeUsbAdapter]]:
    """Two adapters of one product line, with one serial number."""
    for place in ("1-1", "1-2"):
        (tmp_path / "sysfs" / place).mkdir(parents=True)
        (tmp_path / "sysfs" / place / "serial").write_text("SN0001\n")
    yield FakeUsbAdapter(usb_bus, port=1, serial="SN0001"), FakeUsbAdapter(usb_bus, port=2, serial="SN0001")


Twins = tuple[FakeUsbAdapter, FakeUsbAdapter]


def test_each_is_opened_by_its_socket_also_after_replugging(twins: Twins) -> None:
    left, right = twins
    for _ in range(2):
        with opened(usb_port="1-2") as source, opened(usb_port="1-1") as other:
            right.receive(frame(2))
            left.receive(frame(1))
            assert frames_of(source, 1)[0].arbitration_id == 2
            assert frames_of(other, 1)[0].arbitration_id == 1
            assert source.details["usb"].startswith("1-2 ")
        right.unplug()
        left.unplug()
        right.plug()  # in another order, and with other addresses
        left.plug()


def test_one_that_is_unplugged_is_waited_for_although_its_twin_is_there(twins: Twins) -> None:
    twins[1].unplug()
    reason = r"there is no gs_usb adapter at usb 1-2; there are: .*SN0001 at usb 1-1\. .*usb_port"
    with pytest.raises(AdapterAbsent, match=reason), opened(usb_port="1-2"):
        pass


@pytest.mark.usefixtures("twins")
def test_serial_number_of_several_adapters_chooses_none_and_names_their_sockets() -> None:
    expected = re.escape(
        '2 gs_usb adapters have the serial number SN0001. In place of serial, write usb_port = "1-1" or usb_port = "1-2".'
    )
    with pytest.raises(AdapterAbsent, match=expected), opened(serial="SN0001"):
        pass


def test_serial_number_chooses_again_when_one_of_the_twins_is_gone(twins: Twins) -> None:
    twins[0].unplug()
    with opened(serial="SN0001") as source:
        assert source.details["usb"].startswith("1-2 ")


@pytest.mark.usefixtures("twins")
def test_detect_writes_sockets_that_open_the_adapters() -> None:
    found = scan.scan(ScanOptions()).found
    assert [adapter.table for adapter in found] == [
        {"interface": "gs_usb", "usb_port": "1-1"},
        {"interface": "gs_usb", "usb_port": "1-2"},
    ]
    assert [adapter.channel for adapter in found] == ["1-1", "1-2"]
    for adapter in map(usable, found):
        assert adapter.keys
        with opened(**adapter.keys):
            pass


@pytest.mark.usefixtures("twins")
def test_detect_knows_the_buses_of_these_adapters() -> None:
    first, second = scan.scan(ScanOptions()).found
    by_socket = valid_settings("gs_usb", name="a", usb_port="1-2")
    assert (bus_of(first, [by_socket]), bus_of(second, [by_socket])) == (None, "a")
    by_serial = valid_settings("gs_usb", name="a", serial="SN0001")
    assert bus_of(first, [by_serial]) is None, "this bus waits, since it means both"


def test_detect_knows_a_bus_by_socket_of_an_adapter_with_a_number_of_its_own(adapter: FakeUsbAdapter) -> None:
    assert adapter.plugged
    (found,) = scan.scan(ScanOptions()).found
    assert bus_of(found, [valid_settings("gs_usb", name="a", usb_port="1-1")]) == "a"


def listed(*serials: str | None) -> list[UsbAdapter]:
    return [
        UsbAdapter(None, 1, 4 + number, (number + 1,), serial, 0x1D50, 0x606F)
        for number, serial in enumerate(serials)
    ]


@pytest.mark.parametrize(
    ("serials", "keys"),
    [
        (["A", "B"], [("serial", "A"), ("serial", "B")]),
        (["A", "B", "A"], [("usb_port", "1-1"), ("serial", "B"), ("usb_port", "1-3")]),
        (["A", None], [("serial", "A"), ("index", 1)]),
        ([None, "A", None], [("usb_port", "1-1"), ("serial", "A"), ("usb_port", "1-3")]),
    ],
)
def test_auto_selects_by_the_socket_if_the_serial_number_is_not_unique(
    serials: list[str | None], keys: list[tuple[str, Any]]
) -> None:
    found = listed(*serials)
    candidates = scan.candidates(found)
    assert [(candidate.key, candidate.value) for candidate in candidates] == keys
    assert len({str(candidate) for candidate in candidates}) == len(found), "each has a name of its own"
    settings = AutoSettings(name="a", interface="auto")
    for candidate, adapter in zip(candidates, found, strict=True):
        chosen = settings_for(candidate, settings, GsUsbSettings)
        assert isinstance(chosen, GsUsbSettings)
        assert choose(found, chosen) == adapter


@pytest.mark.parametrize("serials", [["A", "B"], ["A", "A"], [None, None]])
def test_auto_leaves_an_adapter_alone_that_another_bus_names_by_its_socket(serials: list[str | None]) -> None:
    left = untaken(scan.candidates(listed(*serials)), ["gs_usb 1-1"])
    assert [candidate.usb_port for candidate in left] == ["1-2"]


def test_a_bus_by_socket_names_its_adapter_for_auto() -> None:
    assert gs_usb_settings(usb_port="1-2.3").adapter_name == "gs_usb 1-2.3"


@pytest.mark.parametrize("text", ["1-2", "1-2.3", "10-1.4.4.1", "3-12"])
def test_sockets_in_the_notation_of_sysfs(text: str) -> None:
    assert not validated(GsUsbSettings, {"name": "a", "interface": "gs_usb", "usb_port": text}).findings


@pytest.mark.parametrize("text", ["", "1", "1:5", "usb 1-2", "1-2.", "1-", "1-2.3:1.0", "../1-1", "1-2\n"])
def test_other_notations_are_mistakes_with_an_example(text: str) -> None:
    (finding,) = validated(GsUsbSettings, {"name": "a", "interface": "gs_usb", "usb_port": text}).findings
    assert 'usb_port = "1-2.3"' in finding.remedy


def test_two_ways_to_choose_an_adapter_are_a_mistake() -> None:
    keys = {"name": "a", "interface": "gs_usb", "usb_port": "1-2", "serial": "A"}
    (finding,) = validated(GsUsbSettings, keys).findings
    assert "serial and usb_port" in finding.fact


def test_second_channel_of_an_adapter_in_use_is_refused_with_the_truth(adapter: FakeUsbAdapter) -> None:
    adapter.refuse(claim=16)
    with (
        pytest.raises(BusError, match=r"one bus per adapter: use interface socketcan for both"),
        opened(channel=0),
    ):
        pass
    assert len(adapters()) == 1
