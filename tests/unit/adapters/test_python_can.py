"""Interfaces of python-can: its own `virtual` and `udp_multicast` serve as drivers."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.adapters.failures import AdapterAbsent, BusError, SettingsRefused
from cancorderd.adapters.python_can import driver_arguments, driver_failure
from cancorderd.adapters.registry import open_source
from cancorderd.protocol.frame import BRS, ESI, EXTENDED, FD
from tests.support.source_reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable


def test_frames_of_every_kind(make_settings: Callable[..., Any]) -> None:
    source = open_source(make_settings("virtual", channel="kinds"))
    with can.Bus(interface="virtual", channel="kinds") as sender:
        sender.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\x01\x02"))
        sender.send(can.Message(arbitration_id=0x123, is_extended_id=False, is_remote_frame=True, dlc=2))
        sender.send(can.Message(is_error_frame=True))
        sender.send(
            can.Message(
                arbitration_id=0x12345678,
                is_fd=True,
                bitrate_switch=True,
                error_state_indicator=True,
                data=bytes(12),
                dlc=12,
            )
        )
        standard, fd = frames_of(source, 2)
    assert standard[1:] == (0x123, 0, b"\x01\x02")
    assert fd[1:] == (0x12345678, EXTENDED | FD | BRS | ESI, bytes(12))
    assert (source.remote_frames, source.error_frames) == (1, 1)
    assert abs(standard.timestamp_us / 1e6 - time.time()) < 5
    source.close()


def test_filters_reach_the_driver(make_settings: Callable[..., Any]) -> None:
    source = open_source(make_settings("virtual", channel="filters", filters=[{"id": 0x100, "mask": 0x7F0}]))
    with can.Bus(interface="virtual", channel="filters") as sender:
        for arbitration_id in (0x0FF, 0x100, 0x10F, 0x110):
            sender.send(can.Message(arbitration_id=arbitration_id, is_extended_id=False))
        assert [frame.arbitration_id for frame in frames_of(source, 2)] == [0x100, 0x10F]
    source.close()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="multicast on loopback is set up as on Linux"
)
def test_options_reach_the_driver(make_settings: Callable[..., Any]) -> None:
    # hop_limit 0: nothing leaves this machine.
    options = {"port": 43901, "hop_limit": 0}
    source = open_source(make_settings("udp_multicast", channel="239.74.163.2", options=options))
    with can.Bus(interface="udp_multicast", channel="239.74.163.2", port=43901, hop_limit=0) as sender:
        for number in range(50):
            sender.send(can.Message(arbitration_id=number, is_extended_id=False, data=[number]))
        frames = frames_of(source, 50)
    assert [frame.arbitration_id for frame in frames] == list(range(50))
    source.close()


def test_options_override_the_buss_other_keys(make_settings: Callable[..., Any]) -> None:
    made = make_settings("virtual", channel=3, bitrate=250_000, options={"rx_queue_size": 7})
    assert driver_arguments(made) == {
        "interface": "virtual",
        "channel": 3,
        "bitrate": 250_000,
        "rx_queue_size": 7,
    }


@pytest.mark.parametrize("interface", ["pcan", "kvaser", "vector"])
def test_missing_driver_is_refused_with_the_remedy(make_settings: Callable[..., Any], interface: str) -> None:
    with pytest.raises(
        SettingsRefused, match=rf"interface {interface} is not usable here: .*Install its driver"
    ):
        open_source(make_settings(interface, channel=0))


def test_closing_ends_the_reading_thread(make_settings: Callable[..., Any]) -> None:
    before = threading.active_count()
    source = open_source(make_settings("virtual", channel="threads"))
    assert threading.active_count() == before + 1
    source.close()
    assert threading.active_count() == before


class Broken(can.BusABC):
    """A driver whose device goes away."""

    def __init__(self, **_: Any) -> None:
        self._is_shutdown = True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError

    def recv(self, timeout: float | None = None) -> can.Message | None:
        raise can.CanOperationError("device lost", 19)


def test_device_that_goes_away_is_a_bus_error(
    make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can, "Bus", Broken)
    source = open_source(make_settings("virtual", channel="x"))
    with pytest.raises(BusError, match="device lost"):
        read_until(source, lambda: False)
    source.close()


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OSError(19, "No such device"), AdapterAbsent, "Plug the adapter in"),
        (can.CanInitializationError("not found", 2), AdapterAbsent, "Plug the adapter in"),
        (PermissionError(13, "Permission denied"), AdapterAbsent, "Check udev rules and groups"),
        (ValueError("bad bitrate"), SettingsRefused, "Correct channel, bitrate or options"),
        (ModuleNotFoundError("No module named 'x'"), SettingsRefused, "Install its driver"),
        (can.CanInitializationError("busy"), BusError, "virtual: busy"),
    ],
)
def test_failures_of_drivers(error: Exception, kind: type[Exception], text: str) -> None:
    failure = driver_failure("virtual", error)
    assert type(failure) is kind
    assert text in str(failure)
