"""Clocks of adapters in virtual time: those that run at the host's rate are believed, all others are not used."""

from __future__ import annotations

import random
import re
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.adapters.clock_rate import Belief, ClockRate
from cancorderd.adapters.device_clock import DeviceClock
from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import PacketDecoder, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EPOCH = 1_700_000_000_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
U16 = (1 << 16) * 1000
U32 = 1 << 32


def clock(ppm: float = 0, start: int = 12_345) -> Callable[[int, int], int]:
    return lambda _number, true: start + round(true * (1 + ppm * 1e-6))


def steady(rate: float, seconds: float) -> list[int]:
    return [round(number * SECOND / rate) for number in range(round(rate * seconds))]


class Bench:
    """Frames of an adapter, each a read of its own, mapped and checked as a source does it."""

    def __init__(self, modulus: int | None, stamp: Callable[[int, int], int]) -> None:
        self.clock = DeviceClock(modulus)
        self._modulus = modulus
        self._stamp = stamp
        self._numbers = count()
        self.off: list[int] = []
        """How far the stamp on the wire is from the arrival, in µs."""
        self.stamps: list[int] = []

    def play(
        self,
        times: Iterable[int],
        *,
        delay: Callable[[int], float] = lambda _true: 300,
        host: Callable[[int], int] = lambda _true: 0,
    ) -> Bench:
        """`delay` is how late a frame is read, in µs by its true time; `host` is how far the monotonic clock is behind the true time: the machine slept."""
        for true in times:
            stamp = self._stamp(next(self._numbers), true)
            stamp %= self._modulus or 1 << 62
            arrival = true + round(delay(true))
            now = EPOCH + arrival
            packet = encode(Frame(self.clock.epoch_us(stamp, now), 0x123, 0, b"\1\2"))
            wire = PacketDecoder()
            wire.receive(self.clock.checked(Batch(packet, 1), now, arrival - host(arrival)).packets)
            (frame,) = wire.frames()
            assert frame[1:] == (0x123, 0, b"\1\2")
            self.stamps.append(frame.timestamp_us)
            self.off.append(frame.timestamp_us - now)
        assert self.stamps == sorted(self.stamps), "stamps run backwards"
        return self


WRONG: dict[str, tuple[int | None, Callable[[int, int], int], float]] = {
    "counts frames, quiet bus": (MINUTE, lambda number, _true: number * 1000, 20),
    "counts frames": (MINUTE, lambda number, _true: number * 1000, 100),
    "counts frames, busy bus": (MINUTE, lambda number, _true: number * 1000, 3000),
    "counts frames by twos": (U16, lambda number, _true: number * 2000, 100),
    "stands still": (MINUTE, lambda _number, _true: 5_000_000, 50),
    "stands still at 0": (U32, lambda _number, _true: 0, 50),
    "stands still, quiet bus": (MINUTE, lambda _number, _true: 0, 0.2),
    "microseconds for milliseconds": (MINUTE, lambda _number, true: true % 65_536 * 1000, 100),
    "microseconds of 32 bits for milliseconds": (None, lambda _number, true: true * 1000, 100),
    "ticks of 10 ms": (MINUTE, lambda _number, true: true // 10_000 * 1000, 100),
    "ticks of 100 µs": (MINUTE, lambda _number, true: true // 100 * 1000, 100),
    "half as fast": (U32, lambda _number, true: true // 2, 100),
    "twice as fast": (U32, lambda _number, true: true * 2, 100),
    "a tenth too slow": (U32, lambda _number, true: true * 9 // 10, 100),
    "a twentieth too fast": (None, lambda _number, true: true * 21 // 20, 100),
    "backwards": (U32, lambda _number, true: -true, 100),
    "noise": (MINUTE, lambda number, _true: random.Random(number).randrange(60_000) * 1000, 100),
    "noise of 32 bits": (U32, lambda number, _true: random.Random(number).randrange(U32), 100),
    "nanoseconds for microseconds": (U32, lambda _number, true: true * 1000, 100),
    "bytes in the other order": (U32, lambda _number, true: int.from_bytes((true % U32).to_bytes(4), "little"), 100),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_clock_at_another_rate_is_not_used_and_never_puts_a_time_wrong_by_a_second(kind: str) -> None:
    modulus, stamp, rate = WRONG[kind]
    bench = Bench(modulus, stamp).play(steady(rate, max(30, 10 / rate)))
    assert re.fullmatch(
        r"not used: it does not run at the host's rate \(\d+\.\d s (ahead|behind) after \d+\.\d s\)",
        bench.clock.fault,
    )
    assert max(map(abs, bench.off)) <= SECOND + 20_000
    assert set(bench.off[-3:]) == {0}, "arrivals from then on"


@pytest.mark.parametrize(
    ("modulus", "rate", "ppm", "delay"),
    [
        (MINUTE, 50, 0, lambda true: 200 + true % 10_000),
        (MINUTE, 0.03, 100, lambda _true: 500),
        (U16, 5, -100, lambda _true: 500),
        (U32, 100, 5000, lambda _true: 500),  # an oscillator without a crystal
        (None, 100, -5000, lambda _true: 500),
        (U32, 10, 50, lambda true: 500 + 400_000 * (true // SECOND % 3 == 0)),  # a busy machine
        (U32, 100, 0, lambda true: max(300, 4_000_000 - true)),  # opened late
        (U32, 100, 0, lambda true: max(300, 9_000_000 - true) if true > 2_000_000 else 300),  # stood still
        (MINUTE, 20, 0, lambda true: 300 + (-true) % 800_000),  # frames gather
        (U32, 1, 0, lambda _true: 300),
    ],
)
def test_clock_at_the_hosts_rate_is_used(
    modulus: int | None, rate: float, ppm: float, delay: Callable[[int], float]
) -> None:
    bench = Bench(modulus, clock(ppm)).play(steady(rate, max(60, 40 / rate)), delay=delay)
    assert bench.clock.fault == ""
    assert bench.clock._rate.belief is Belief.PROVED


def test_clock_that_goes_wrong_later_is_not_used_from_then_on() -> None:
    def stamp(_number: int, true: int) -> int:
        return min(true, 90 * SECOND)  # stops after a minute and a half

    bench = Bench(U32, stamp).play(steady(50, 120))
    assert " s behind after " in bench.clock.fault
    assert min(bench.off) > -6 * SECOND
    assert bench.off[-1] == 0


@pytest.mark.parametrize("at_s", [1, 4, 90])
@pytest.mark.parametrize("step_s", [-3, 20, 1000])
def test_single_step_is_no_wrong_rate(at_s: int, step_s: int) -> None:
    """The machine slept (its monotonic clock did not run), or the adapter's counter started over."""
    bench = Bench(U32, lambda _number, true: true + (step_s * SECOND if true > at_s * SECOND else 0) + MINUTE)
    bench.play(steady(50, at_s + 60))
    assert bench.clock.fault == ""
    assert abs(bench.off[-1]) < 100_000


def test_sleep_of_the_machine_is_no_wrong_rate() -> None:
    awake = [true for true in steady(50, 120) if not 10 * SECOND < true < 60 * SECOND]
    slept = Bench(U32, clock()).play(awake, host=lambda true: 50 * SECOND if true > 30 * SECOND else 0)
    assert slept.clock.fault == ""


def test_frames_without_stamps_between_those_with_stamps_prove_nothing() -> None:
    rate = DeviceClock(MINUTE)
    for second in range(100):
        now = EPOCH + second * SECOND
        assert rate.checked(Batch(b"", 0), now, now) == Batch(b"", 0)
    assert rate.fault == ""


def test_few_values_are_kept() -> None:
    rate = ClockRate(U32)
    for second in range(10_000):
        rate.observe(second * SECOND % U32, second * SECOND)
    assert rate.belief is Belief.PROVED
    assert len(rate._windows) <= 120


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([None, MINUTE, U32]),
    st.floats(0.5, 200),
    st.floats(-100, 100),
    st.integers(0, U32),
    st.randoms(use_true_random=False),
)
def test_any_real_clock_is_used_on_a_bus_of_any_rate(
    modulus: int | None, rate: float, ppm: float, start: int, dice: random.Random
) -> None:
    bench, jitter = Bench(modulus, clock(ppm, start)), dice.randint(1, 50_000)
    bench.play(steady(rate, max(15, 8 / rate))[:800], delay=lambda _true: dice.uniform(100, 100 + jitter))
    assert bench.clock.fault == ""


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([None, MINUTE, U32]),
    st.one_of(st.floats(0, 0.9), st.floats(1.1, 20)),
    st.floats(2, 100),
    st.integers(0, 10_000),
)
def test_no_clock_at_another_rate_puts_a_time_wrong_by_a_second(
    modulus: int | None, speed: float, rate: float, jitter: int
) -> None:
    bench = Bench(modulus, lambda _number, true: round(true * speed))
    bench.play(steady(rate, 40)[:800], delay=lambda true: 100 + true % (jitter + 1))
    assert max(map(abs, bench.off)) <= SECOND + jitter + 20_000


@pytest.mark.parametrize("began_s", [0, 1000])
def test_clock_is_proved_after_five_seconds_of_windows_whenever_it_began(began_s: int) -> None:
    rate = ClockRate()
    now_ms = 0
    while rate.belief is not Belief.PROVED and now_ms < 60_000:
        now_ms += 10
        rate.observe(7_000_000 + now_ms * 1000, (began_s * 1000 + now_ms) * 1000)
    # Ten spans of 0.5 s between the ends of eleven windows; the first stamp came at 10 ms.
    assert now_ms == 5510
