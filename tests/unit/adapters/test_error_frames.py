from __future__ import annotations

import pytest

from cancorderd.adapters.error_frames import (
    BUS_OFF_PATIENCE_S,
    BusOffPatience,
    ErrorFrameCounter,
    ReportedController,
)


def crtl(detail: int) -> bytes:
    return bytes([0, detail, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("can_id", "payload", "state"),
    [
        (0x04, crtl(0x04), "error-warning"),
        (0x04, crtl(0x08), "error-warning"),
        (0x04, crtl(0x10), "error-passive"),
        (0x04, crtl(0x28), "error-passive"),
        (0x04, crtl(0x40), "error-active"),
        (0x2000_0040, crtl(0), "bus-off"),
        (0x44, crtl(0x20), "bus-off"),
        (0x100, crtl(0), "error-active"),
        (0x08, crtl(0x10), None),
    ],
)
def test_controller_state_after_an_error_frame(can_id: int, payload: bytes, state: str | None) -> None:
    errors = ErrorFrameCounter()
    errors.count_error_frame(can_id, payload)
    assert (errors.controller, errors.error_frames, errors.overflows) == (state, 1, 0)


def test_overflow_is_counted_without_a_change_of_state() -> None:
    errors = ErrorFrameCounter("error-passive")
    errors.count_error_frame(0x04, crtl(0x01))
    assert (errors.controller, errors.overflows) == ("error-passive", 1)


def test_reported_state_is_the_controllers_whatever_was_before() -> None:
    controller = ReportedController()
    for state in ("error-active", "bus-off", "error-warning", "bus-off", None, "bus-off"):
        controller.report(state)
        assert controller.controller == state


def test_refuted_bus_off_is_ignored_until_something_else_is_reported() -> None:
    controller = ReportedController("bus-off")
    controller.refute_bus_off()
    for _ in range(2):
        controller.report("bus-off")
        assert controller.controller == "error-active"
    controller.report("error-passive")
    controller.report("bus-off")
    assert controller.controller == "bus-off"


def test_event_of_bus_off_ends_a_refutation() -> None:
    errors = ErrorFrameCounter("bus-off")
    errors.refute_bus_off()
    errors.count_error_frame(0x40, crtl(0))
    assert errors.controller == "bus-off"
    errors.count_error_frame(0x100, crtl(0))
    assert errors.controller == "error-active"
    errors.report("bus-off")
    assert errors.controller == "bus-off"


def test_patience_expires_only_if_bus_off_lasts() -> None:
    patience = BusOffPatience()
    assert patience.due(0.0) is None
    assert not patience.expired("bus-off", 10.0)
    assert patience.due(10.0) == BUS_OFF_PATIENCE_S
    assert not patience.expired("bus-off", 10.0 + 0.9 * BUS_OFF_PATIENCE_S)
    assert not patience.expired("error-active", 10.0 + 0.95 * BUS_OFF_PATIENCE_S)
    assert patience.due(11.0) is None
    assert not patience.expired("bus-off", 20.0)
    assert patience.expired("bus-off", 20.0 + BUS_OFF_PATIENCE_S)


def test_patience_is_longer_if_the_kernel_restarts_the_controller() -> None:
    patience = BusOffPatience()
    patience.restarts_after_s = 0.5
    assert not patience.expired("bus-off", 10.0)
    assert patience.due(10.0) == BUS_OFF_PATIENCE_S + 0.5
    assert not patience.expired("bus-off", 10.0 + BUS_OFF_PATIENCE_S)
    assert patience.expired("bus-off", 10.5 + BUS_OFF_PATIENCE_S)
