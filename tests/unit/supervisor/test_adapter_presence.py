"""The adapter of a failed bus that was away and is back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from cancorderd.supervisor import adapter_presence
from cancorderd.supervisor.adapter_presence import AdapterLook, Signs, signs_of
from tests.support.settings import valid_settings
from tests.unit.supervisor.fakes import in_event_loop, mock_settings, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def usb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(adapter_presence, "USB_DEVICES", str(tmp_path))
    monkeypatch.setattr(adapter_presence, "NETWORK_INTERFACES", str(tmp_path))

    def write(place: str, **attributes: object) -> None:
        (tmp_path / place).mkdir(exist_ok=True)
        for name, value in attributes.items():
            (tmp_path / place / name).write_text(f"{value}\n")

    return write


def test_node_that_is_made_anew_is_another(tmp_path: Path) -> None:
    node = tmp_path / "tty"
    settings = valid_settings("slcan", channel=str(node))
    assert signs_of(settings) == frozenset()
    node.write_text("")
    first = signs_of(settings)
    assert first
    assert signs_of(settings) == first
    (tmp_path / "other").write_text("")
    (tmp_path / "other").replace(node)
    assert signs_of(settings) - first


@pytest.mark.parametrize(
    ("interface", "keys"),
    [
        ("slcan", {"serial": "0031"}),
        ("gs_usb", {"serial": "0031"}),
        ("gs_usb", {"usb_port": "1-2"}),
        ("gs_usb", {"index": 0}),
        ("toucan", {}),
        ("pcan", {"channel": "PCAN_USBBUS1"}),
        ("socketcan", {"channel": "can0"}),
    ],
)
def test_adapter_that_is_plugged_in_again_gives_a_new_sign(
    usb: Callable[..., None], interface: str, keys: dict[str, Any]
) -> None:
    settings = valid_settings(interface, **keys)
    usb("1-2", devnum=7, serial="0031")
    usb("1-3", devnum=8, serial="9999")
    usb("can0", ifindex=3)
    before = signs_of(settings)
    assert before
    usb("1-2", devnum=9)
    usb("can0", ifindex=4)
    assert signs_of(settings) - before


def test_other_device_is_no_sign_of_an_adapter_that_has_a_name(usb: Callable[..., None]) -> None:
    settings = valid_settings("slcan", serial="0031")
    usb("1-2", devnum=7, serial="0031")
    before = signs_of(settings)
    usb("1-3", devnum=8, serial="9999")
    assert signs_of(settings) == before
    assert signs_of(mock_settings()) == frozenset()


@in_event_loop
async def test_only_a_sign_that_was_not_there_before_means_that_the_adapter_is_back() -> None:
    signs: list[Signs] = [frozenset({(1,)}), frozenset({(1,)}), frozenset(), frozenset({(1,)})]
    told: list[int] = []
    looked: list[Signs] = []

    def next_signs(_settings: object) -> Signs:
        looked.append(signs[len(looked)])
        return looked[-1]

    look = AdapterLook(lambda: told.append(len(looked)), next_signs)
    for count in range(1, 5):
        look.look(mock_settings())
        await until(lambda count=count: len(looked) == count and not look._pending)  # type: ignore[misc]
    assert told == [4]


@in_event_loop
async def test_file_system_that_does_not_answer_costs_one_thread() -> None:
    answers = threading.Event()
    calls: list[int] = []

    def hang(_settings: object) -> Signs:
        calls.append(1)
        answers.wait(15)
        return frozenset()

    look = AdapterLook(lambda: None, hang)
    for _ in range(5):
        look.look(mock_settings())
    await until(lambda: calls)
    assert len(calls) == 1
    answers.set()
    await until(lambda: not look._pending)
