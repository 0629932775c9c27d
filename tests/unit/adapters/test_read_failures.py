"""Failures of a driver's read, in virtual time."""

from __future__ import annotations

import errno

import can
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.adapters.read_failures import FAILING_S, SILENT_S, ReadFailures, is_gone

BUS_ERROR = can.CanOperationError("bus error", 2)


def caused(error: OSError) -> can.CanOperationError:
    found = can.CanOperationError("failed")
    found.__cause__ = error
    return found


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (OSError(errno.ENODEV, "No such device"), True),
        (OSError(errno.ENETDOWN, "Network is down"), True),
        (caused(OSError(errno.ENODEV, "No such device")), True),
        (caused(ConnectionResetError("reset")), True),
        (ConnectionError("closed"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (can.CanOperationError("overrun", errno.ENOENT), False),
        (can.CanOperationError("bus light, overrun", errno.ENXIO), False),
        (ValueError("bad frame"), False),
        (SystemExit(1), False),
    ],
)
def test_only_the_system_reports_that_a_device_is_gone(error: BaseException, gone: bool) -> None:
    assert is_gone(error) is gone
    assert ReadFailures().may_read_on_after(error, 0.0) is not gone


def test_driver_that_fails_before_each_frame_is_read_for_ever() -> None:
    failures = ReadFailures()
    for second in range(10_000):
        assert failures.may_read_on_after(BUS_ERROR, second)
        assert failures.pause_s == 0
        failures.message_arrived()


def test_driver_that_fails_at_each_read_is_given_up_after_a_second() -> None:
    failures = ReadFailures()
    assert failures.may_read_on_after(BUS_ERROR, 10.0)
    assert failures.may_read_on_after(BUS_ERROR, 10.0 + 0.9 * FAILING_S)
    assert failures.pause_s > 0
    assert not failures.may_read_on_after(BUS_ERROR, 10.0 + FAILING_S)


def test_driver_that_is_silent_after_a_failure_is_given_up_later() -> None:
    failures = ReadFailures()
    assert failures.driver_may_be_dead(0.0) is None
    assert failures.may_read_on_after(BUS_ERROR, 10.0)
    assert failures.driver_may_be_dead(10.0 + 0.9 * SILENT_S) is None
    assert failures.driver_may_be_dead(10.0 + SILENT_S) is BUS_ERROR


def test_silence_without_a_failure_is_no_sign() -> None:
    failures = ReadFailures()
    failures.may_read_on_after(BUS_ERROR, 0.0)
    failures.message_arrived()
    assert failures.driver_may_be_dead(1e6) is None


def test_driver_that_fails_now_and_then_and_never_delivers_is_given_up() -> None:
    failures = ReadFailures()
    now_s = 0.0
    while failures.may_read_on_after(BUS_ERROR, now_s) and failures.driver_may_be_dead(now_s) is None:
        now_s += 0.4
        assert now_s < 2 * SILENT_S


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("fme"), st.floats(0, 0.6)), max_size=60))
def test_given_up_only_if_no_message_followed_for_long(reads: list[tuple[str, float]]) -> None:
    """f: a failure, m: a message, e: an empty read; each after a while."""
    failures = ReadFailures()
    now_s, first_failure_s = 0.0, None
    for read, passed_s in reads:
        now_s += passed_s
        if read == "m":
            failures.message_arrived()
            first_failure_s = None
            continue
        if read == "f":
            first_failure_s = now_s if first_failure_s is None else first_failure_s
            ended = not failures.may_read_on_after(BUS_ERROR, now_s)
        else:
            ended = failures.driver_may_be_dead(now_s) is not None
        suspected_s = 0.0 if first_failure_s is None else now_s - first_failure_s
        assert not ended or suspected_s >= FAILING_S
        assert ended or suspected_s < SILENT_S
        if ended:
            return
