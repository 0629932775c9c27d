"""Any python-can interface: its own `virtual` and `udp_multicast` serve as real ones."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import can
import pytest

from cancorderd.errors import AdapterAbsent, BusError, SettingsRefused
from cancorderd.frame import BRS, ESI, EXTENDED, FD
from cancorderd.sources import open_source
from cancorderd.sources.python_can import driver_arguments, failure
from cancorderd.sources.stamps import EpochStamps
from tests.sources.reading import frames_of, read_until

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_kind_of_frame_comes_through(section: Callable[..., Any]) -> None:
    source = open_source(section("virtual", channel="kinds"))
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


def test_filters_reach_the_driver(section: Callable[..., Any]) -> None:
    source = open_source(section("virtual", channel="filters", filters=[{"id": 0x100, "mask": 0x7F0}]))
    with can.Bus(interface="virtual", channel="filters") as sender:
        for arbitration_id in (0x0FF, 0x100, 0x10F, 0x110):
            sender.send(can.Message(arbitration_id=arbitration_id, is_extended_id=False))
        assert [frame.arbitration_id for frame in frames_of(source, 2)] == [0x100, 0x10F]
    source.close()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="multicast on loopback is set up as on Linux"
)
def test_options_reach_the_driver(section: Callable[..., Any]) -> None:
    # hop_limit 0: nothing leaves this machine.
    options = {"port": 43901, "hop_limit": 0}
    source = open_source(section("udp_multicast", channel="239.74.163.2", options=options))
    with can.Bus(interface="udp_multicast", channel="239.74.163.2", port=43901, hop_limit=0) as sender:
        for number in range(50):
            sender.send(can.Message(arbitration_id=number, is_extended_id=False, data=[number]))
        frames = frames_of(source, 50)
    assert [frame.arbitration_id for frame in frames] == list(range(50))
    source.close()


def test_options_override_the_sections_own_keys(section: Callable[..., Any]) -> None:
    made = section("virtual", channel=3, bitrate=250_000, options={"rx_queue_size": 7})
    assert driver_arguments(made) == {
        "interface": "virtual",
        "channel": 3,
        "bitrate": 250_000,
        "rx_queue_size": 7,
    }


@pytest.mark.parametrize("interface", ["pcan", "kvaser", "vector"])
def test_driver_that_is_missing_is_refused_with_the_remedy(
    section: Callable[..., Any], interface: str
) -> None:
    with pytest.raises(
        SettingsRefused, match=rf"interface {interface} is not usable here: .*Install its driver"
    ):
        open_source(section(interface, channel=0))


def test_closing_ends_the_reading_thread(section: Callable[..., Any]) -> None:
    before = threading.active_count()
    source = open_source(section("virtual", channel="threads"))
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
    section: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can, "Bus", Broken)
    source = open_source(section("virtual", channel="x"))
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
def test_classes_of_failure(error: Exception, kind: type[Exception], text: str) -> None:
    found = failure("virtual", error)
    assert type(found) is kind
    assert text in str(found)


def test_stamps_of_the_epoch_stay_and_others_are_mapped_never_ahead_of_their_arrival() -> None:
    stamps = EpochStamps()
    assert stamps.epoch_us(1_700_000_000.5, 0) == 1_700_000_000_500_000
    assert stamps.epoch_us(0.0, 77) == 77
    assert stamps.epoch_us(10.0, 1_000_000_000) == 1_000_000_000
    assert stamps.epoch_us(11.0, 1_001_200_000) == 1_001_000_000
    assert stamps.epoch_us(12.0, 1_001_900_000) == 1_001_900_000, "a clock that runs fast is set back"
