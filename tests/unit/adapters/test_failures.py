from __future__ import annotations

import errno

import pytest

from cancorderd.adapters.failures import (
    AdapterAbsent,
    BusError,
    BusFailure,
    absent_reason,
    bus_off_reason,
    failure_of_errno,
    occupied_reason,
)

BUSY = "can0 is in use by another program. End that program, or choose another channel."


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENODEV, AdapterAbsent, "not there"),
        (errno.ENOENT, AdapterAbsent, "not there"),
        (errno.EACCES, AdapterAbsent, "forbidden"),
        (errno.EBUSY, BusError, BUSY),
        (errno.EIO, BusError, "can0: text"),
        (None, BusError, "can0: text"),
    ],
)
def test_failure_of_an_error_number(number: int | None, kind: type[BusFailure], reason: str) -> None:
    failure = failure_of_errno(
        number, "can0", "text", absent="not there", forbidden=lambda: "forbidden", alternative="channel"
    )
    assert (type(failure), str(failure)) == (kind, reason)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EBUSY])
def test_error_number_without_a_reason_of_its_own_is_a_bus_error(number: int) -> None:
    assert str(failure_of_errno(number, "can0", "text", absent="not there")) == "can0: text"


@pytest.mark.parametrize("kind", [AdapterAbsent, BusError])
def test_reason_is_printable_and_has_a_bound(kind: type[BusFailure]) -> None:
    assert str(kind("a\x1b[2Jb")).isprintable()
    assert len(str(kind("x" * 100_000))) < 4000


def test_reasons_name_the_fact_and_the_remedy() -> None:
    assert absent_reason("there is no can7") == "there is no can7. Plug the adapter in, or correct channel."
    assert absent_reason("there is none", "serial or bus").endswith(
        ". Plug the adapter in, or correct serial or bus."
    )
    assert occupied_reason("can0") == BUSY
    assert bus_off_reason("can0") == "can0 is bus-off. Check bitrate, wiring and termination."
