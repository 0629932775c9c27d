"""Stamps of python-can's drivers in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.epoch_stamps import EpochStamps
from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import PacketDecoder, encode

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1_700_000_000_000_000
SECOND = 1_000_000
YEAR_S = 365.25 * 86_400


def play(
    stamps: EpochStamps,
    stamp_s: Callable[[float], float],
    seconds: float = 20,
    *,
    began_s: float = 0,
    host_s: Callable[[float], float] = lambda _time: 0,
) -> list[int]:
    """Return how far each frame's stamp is from its arrival, in µs; 50 frames a second, 300 µs late."""
    found, off = [], []
    for number in range(round(seconds * 50)):
        time_s = began_s + number / 50
        monotonic = round(time_s * SECOND) + 300
        now = EPOCH + monotonic + round(host_s(time_s) * SECOND)
        packet = encode(Frame(stamps.epoch_us(stamp_s(time_s), now), 0x123, 0, b""))
        wire = PacketDecoder()
        wire.receive(stamps.checked(Batch(packet, 1), now, monotonic).packets)
        (frame,) = wire.frames()
        found.append(frame.timestamp_us)
        off.append(frame.timestamp_us - now)
    if host_s(began_s) == host_s(began_s + seconds):
        assert found == sorted(found), "stamps run backwards"
    return off


def test_stamps_that_disagree_now_and_then_are_replaced_and_the_clock_stays_known() -> None:
    """For longer than the patience altogether, but never at a stretch: each time its stamps come right again."""
    stamps = EpochStamps()

    def wrong_half_of_the_time(time_s: float) -> float:
        return EPOCH / SECOND + time_s - (100 if time_s % 2 >= 1 else 0)

    off = play(stamps, wrong_half_of_the_time, 60)
    assert set(off) == {-300, 0}
    assert stamps.fault == ""
    assert not stamps._clock


def test_stamps_of_the_hosts_clock_stay_as_they_are() -> None:
    stamps = EpochStamps()
    assert set(play(stamps, lambda time_s: EPOCH / SECOND + time_s)) == {-300}
    assert stamps.fault == ""


def test_stamps_of_the_hosts_clock_follow_its_steps() -> None:
    stamps = EpochStamps()

    def step_s(time_s: float) -> float:
        return 3600 if time_s > 5 else 0

    assert set(play(stamps, lambda time_s: EPOCH / SECOND + time_s + step_s(time_s), host_s=step_s)) == {-300}
    assert stamps.fault == ""


def test_clock_that_counts_from_a_start_is_mapped() -> None:
    stamps = EpochStamps()
    assert max(map(abs, play(stamps, lambda time_s: 10 + time_s))) < 1000
    assert stamps.fault == ""


@pytest.mark.parametrize(
    ("off_s", "words"),
    [
        (28 * YEAR_S, "28.0 years ahead of it"),
        (-10 * YEAR_S, "10.0 years behind it"),
        (3600 * 24 * 2, "2.0 days ahead of it"),
        (-2 * 3600, "2.0 hours behind it"),
        (90, "90.0 s ahead of it"),
    ],
)
def test_wrong_calendar_is_mapped_and_named(off_s: float, words: str) -> None:
    stamps = EpochStamps()
    assert max(map(abs, play(stamps, lambda time_s: EPOCH / SECOND + off_s + time_s))) < 1000
    assert stamps.fault == f"mapped to the host's: it is {words}"


@pytest.mark.parametrize(
    "stamp_s",
    [
        lambda _time_s: EPOCH / SECOND,  # the time of opening
        lambda _time_s: 5.0,
        lambda time_s: 1 + round(time_s * 50) / 1000,  # counts frames
        lambda time_s: time_s * 1e6 + 1,  # microseconds for seconds
        lambda time_s: EPOCH / SECOND + time_s * 2,
        lambda time_s: EPOCH / 1000 + time_s * 1000,  # milliseconds for seconds
    ],
)
def test_clock_at_another_rate_is_not_used(stamp_s: Callable[[float], float]) -> None:
    stamps = EpochStamps()
    off = play(stamps, stamp_s, 30)
    assert stamps.fault.startswith("not used: it does not run at the host's rate")
    assert max(map(abs, off)) <= SECOND + 20_000
    assert set(off[-50:]) == {0}


@pytest.mark.parametrize("step_s", [3600, -3600, -1.5, 5])
def test_calendar_is_mapped_when_the_hosts_clock_was_set_and_the_driver_goes_on(step_s: float) -> None:
    """A host without a battery sets its clock after the driver has taken the time from it."""
    stamps = EpochStamps()
    off = play(
        stamps, lambda time_s: EPOCH / SECOND + time_s, 60, host_s=lambda time_s: step_s * (time_s > 5)
    )
    assert max(map(abs, off[-50:])) < 1000
    assert "mapped to the host's" in stamps.fault


@pytest.mark.parametrize("stamp_s", [0.0, -5.0, float("nan"), float("inf"), 1e300])
def test_stamp_that_is_no_time_gives_the_arrival(stamp_s: float) -> None:
    stamps = EpochStamps()
    assert set(play(stamps, lambda _time_s: stamp_s, 2)) == {0}
    assert stamps.fault == ""


def test_late_read_of_the_hosts_stamps_changes_nothing_for_long() -> None:
    stamps = EpochStamps()
    assert set(play(stamps, lambda time_s: EPOCH / SECOND + time_s, 1)) == {-300}
    assert set(play(stamps, lambda time_s: EPOCH / SECOND + time_s - 3, 1, began_s=4)) == {0}
    assert set(play(stamps, lambda time_s: EPOCH / SECOND + time_s, 1, began_s=5)) == {-300}
