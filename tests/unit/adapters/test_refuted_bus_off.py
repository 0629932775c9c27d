"""A frame that was received after a report of bus-off ends the suspicion, in every source that reports bus-off."""

from __future__ import annotations

import pytest

from cancorderd.adapters.error_frames import BusOffPatience, ReportedController
from cancorderd.adapters.gs_usb.decoder import GsUsbDecoder
from cancorderd.adapters.socketcan.decoder import CAN_FRAME, CONTROL, CanFrameDecoder
from cancorderd.adapters.toucan import can_api
from cancorderd.adapters.toucan.decoder import ToucanDecoder
from tests.support.gs_usb_adapter import EFF, ERR, RECEIVED, RTR

BUS_OFF, WARNING = ERR | 0x40, ERR | 0x04
OTHER = ERR | 0x08
"""A protocol violation, which says nothing about the state."""
SENT_HERE = 0x04
"""MSG_DONTROUTE."""


def gs_usb_transfer(can_id: int, *, echo_id: int = RECEIVED, channel: int = 0) -> bytes:
    payload = b"\0\x08" + bytes(6) if can_id == WARNING else bytes(8)
    return echo_id.to_bytes(4, "little") + can_id.to_bytes(4, "little") + bytes([8, channel, 0, 0]) + payload


def gs_usb(*reads: list[int], accepts: bool = True) -> GsUsbDecoder:
    decoder = GsUsbDecoder(0, None, lambda _id, _extended: accepts)
    for read in reads:
        decoder.decode([gs_usb_transfer(can_id) for can_id in read], 0)
    return decoder


@pytest.mark.parametrize("accepts", [True, False], ids=["passed", "filtered"])
@pytest.mark.parametrize("heard", [0x123, EFF | 1, RTR | 0x123])
def test_gs_usb_frame_after_bus_off(heard: int, accepts: bool) -> None:
    assert gs_usb([BUS_OFF], [heard], accepts=accepts).controller == "error-active"
    assert gs_usb([BUS_OFF, heard], accepts=accepts).controller == "error-active"
    assert gs_usb([BUS_OFF, heard, OTHER], accepts=accepts).controller == "error-active"
    assert gs_usb([BUS_OFF, heard], [WARNING], accepts=accepts).controller == "error-warning"


@pytest.mark.parametrize(
    "reads",
    [[[0x123], [BUS_OFF]], [[0x123, BUS_OFF]], [[BUS_OFF], [OTHER]], [[BUS_OFF, 1], [2, BUS_OFF, OTHER]]],
)
def test_gs_usb_bus_off_after_the_last_frame(reads: list[list[int]]) -> None:
    assert gs_usb(*reads).controller == "bus-off"


def test_gs_usb_confirmations_other_channels_and_malformed_transfers_prove_nothing() -> None:
    decoder = GsUsbDecoder(0)
    decoder.decode([gs_usb_transfer(BUS_OFF)], 0)
    decoder.decode([gs_usb_transfer(1, echo_id=3), gs_usb_transfer(1, channel=1), gs_usb_transfer(1)[:15]], 0)
    assert decoder.controller == "bus-off"


def socketcan(decoder: CanFrameDecoder, *messages: tuple[int, int, int]) -> str | None:
    """Decode messages given as id, kernel's stamp in seconds, and flags; return the controller's state."""
    frames = memoryview(b"".join(CAN_FRAME.pack(can_id, 8, 0, bytes(64)) for can_id, _, _ in messages))
    controls = memoryview(
        b"".join(CONTROL.pack(32, 1, 35, stamp_s, 0, 20, 1, 40, 0) for _, stamp_s, _ in messages)
    )
    decoder.decode([16] * len(messages), frames, controls)
    if decoder.controller == "bus-off":
        decoder.reconsider_bus_off(frames, controls, [origin for *_, origin in messages])
    return decoder.controller


def test_socketcan_frame_after_bus_off() -> None:
    assert socketcan(CanFrameDecoder(), (BUS_OFF, 5, 0), (1, 5, 0)) == "error-active"
    assert socketcan(CanFrameDecoder(), (1, 5, 0), (BUS_OFF, 5, 0)) == "bus-off"
    assert socketcan(CanFrameDecoder(), (BUS_OFF, 5, 0), (RTR | 1, 6, 0), (OTHER, 6, 0)) == "error-active"


def test_socketcan_frame_that_this_machine_sent_proves_nothing() -> None:
    decoder = CanFrameDecoder()
    assert socketcan(decoder, (BUS_OFF, 5, 0), (1, 6, SENT_HERE)) == "bus-off"
    assert socketcan(decoder, (2, 7, 0)) == "error-active"


def test_socketcan_report_of_the_driver_overtakes_frames_that_wait_in_the_socket() -> None:
    decoder = CanFrameDecoder()
    decoder.report_link("error-active", 0)
    decoder.report_link("bus-off", 10_000_000)
    assert socketcan(decoder, (1, 9, 0)) == "bus-off"
    assert socketcan(decoder, (1, 11, 0)) == "error-active"


def test_socketcan_driver_that_keeps_reporting_bus_off_is_refuted_until_something_changes() -> None:
    decoder = CanFrameDecoder()
    decoder.report_link("bus-off", 0)
    socketcan(decoder, (1, 1, 0))
    for now_us in (2_000_000, 3_000_000):
        decoder.report_link("bus-off", now_us)
        assert decoder.controller == "error-active"
    assert socketcan(decoder, (BUS_OFF, 4, 0)) == "bus-off"
    socketcan(decoder, (1, 5, 0))
    decoder.report_link("error-passive", 6_000_000)
    decoder.report_link("bus-off", 7_000_000)
    assert decoder.controller == "bus-off"


def toucan(*messages: tuple[int, int]) -> ToucanDecoder:
    """Decode messages given as bits and first byte."""
    decoder = ToucanDecoder(lambda _id, _extended: False)
    packed = [can_api.MESSAGE.pack(1, bits, 4, bytes([first]), 0, 0) for bits, first in messages]
    decoder.decode(memoryview(b"".join(packed)), 0)
    return decoder


def test_toucan_read_that_ends_with_a_frame() -> None:
    off = (can_api.STS, can_api.BUS_OFF)
    assert toucan(off, (0, 0)).ends_with_frame
    assert toucan(off, (can_api.RTR, 0)).ends_with_frame
    assert not toucan((0, 0), off).ends_with_frame
    assert toucan(off).status == can_api.BUS_OFF


def test_a_controller_that_is_off_the_bus_may_come_back_in_any_way() -> None:
    controller = ReportedController("error-active")
    controller.refute_bus_off()
    controller.report("bus-off")
    assert controller.controller == "bus-off", "a frame from before says nothing"
    controller.report("error-passive")
    assert controller.controller == "error-passive"


def test_the_next_suspicion_has_its_own_patience() -> None:
    patience = BusOffPatience()
    assert not patience.expired("bus-off", 100.0)
    assert not patience.expired("error-active", 100.5)
    assert patience.due(100.5) is None
    assert not patience.expired("bus-off", 110.0)
    assert patience.expired("bus-off", 111.0)
