from __future__ import annotations

import pytest

from cancorderd.sources.error_frames import BUS_OFF_PATIENCE_S, BusOffWatch, ErrorFrames


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
def test_state_of_an_error_frame(can_id: int, payload: bytes, state: str | None) -> None:
    errors = ErrorFrames()
    errors.error_frame(can_id, payload)
    assert (errors.controller, errors.error_frames, errors.overflows) == (state, 1, 0)


def test_overflow_is_counted_and_changes_no_state() -> None:
    errors = ErrorFrames("error-passive")
    errors.error_frame(0x04, crtl(0x01))
    assert (errors.controller, errors.overflows) == ("error-passive", 1)


def test_bus_off_expires_after_its_patience_only_if_it_lasts() -> None:
    watch = BusOffWatch()
    assert watch.due(0.0) is None
    assert not watch.expired("bus-off", 10.0)
    assert watch.due(10.0) == BUS_OFF_PATIENCE_S
    assert not watch.expired("bus-off", 10.0 + 0.9 * BUS_OFF_PATIENCE_S)
    assert not watch.expired("error-active", 10.0 + 0.95 * BUS_OFF_PATIENCE_S)
    assert watch.due(11.0) is None
    assert not watch.expired("bus-off", 20.0)
    assert watch.expired("bus-off", 20.0 + BUS_OFF_PATIENCE_S)


def test_a_controller_that_the_kernel_restarts_gets_that_much_longer() -> None:
    watch = BusOffWatch()
    watch.restarts_after_s = 0.5
    assert not watch.expired("bus-off", 10.0)
    assert watch.due(10.0) == BUS_OFF_PATIENCE_S + 0.5
    assert not watch.expired("bus-off", 10.0 + BUS_OFF_PATIENCE_S)
    assert watch.expired("bus-off", 10.5 + BUS_OFF_PATIENCE_S)
