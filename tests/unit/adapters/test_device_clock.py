"""Simulated adapters and hosts, their clocks and their delays; nothing here waits or reads a clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cancorderd.adapters.device_clock import DeviceClock, Line, lower_line
from cancorderd.protocol.batch import Batch
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import PacketDecoder, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EPOCH = 1_700_000_000_000_000
SECOND = 1_000_000
U32 = 1 << 32


@dataclass
class Adapter:
    """Frames at `times` (µs of true time), stamped by a clock that is `ppm` too fast, arriving late."""

    ppm: float = 0.0
    start: int = 0
    modulus: int | None = U32
    delay: Callable[[int], float] = lambda _true: 300
    """How late a frame is read, in µs, by its true time."""
    host: Callable[[int], int] = lambda _true: 0
    """How far the host's clock is ahead, in µs, by the true time: its steps."""
    clock: DeviceClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = DeviceClock(self.modulus)

    def play(self, times: Iterable[int]) -> list[tuple[int, int]]:
        """Return each frame's true time and the clock's answer, both since the epoch."""
        answers = []
        for true in times:
            stamp = self.start + round(true * (1 + self.ppm * 1e-6))
            if self.modulus:
                stamp %= self.modulus
            arrival = true + round(self.delay(true))
            answers.append((EPOCH + true, self.clock.epoch_us(stamp, EPOCH + arrival + self.host(arrival))))
        assert all(a <= b for (_, a), (_, b) in pairwise(answers)), "went backwards"
        return answers


def usb_batches(period_us: int = 10_000) -> Callable[[int], float]:
    """Return the delay of an adapter that delivers at fixed intervals: the first frame of a batch waits longest."""
    return lambda true: 150 + period_us - true % period_us


def uniform(most_us: int, seed: int = 1) -> Callable[[int], float]:
    dice = random.Random(seed)
    return lambda _true: dice.uniform(100, most_us)


def errors(answers: list[tuple[int, int]], after_s: float = 0) -> list[int]:
    return [answer - true for true, answer in answers if true - EPOCH >= after_s * SECOND]


def worst_spacing(answers: list[tuple[int, int]], after_s: float = 0) -> float:
    """Return the largest relative error of the distance between two neighbours."""
    kept = [pair for pair in answers if pair[0] - EPOCH >= after_s * SECOND]
    return max(abs((b2 - b1) / (a2 - a1) - 1) for (a1, b1), (a2, b2) in pairwise(kept))


def test_first_frame_is_stamped_with_its_arrival() -> None:
    assert DeviceClock(U32).epoch_us(123, EPOCH) == EPOCH


@pytest.mark.parametrize("modulus", [60_000_000, 1 << 16, U32])
@pytest.mark.parametrize("share", [-0.05, -0.01, 0.0, 0.01, 0.05])
def test_first_stamp_that_resembles_the_hosts_time_means_nothing(modulus: int, share: float) -> None:
    clock = DeviceClock(modulus)
    first = (EPOCH + round(share * modulus)) % modulus
    assert clock.epoch_us(first, EPOCH) == EPOCH
    assert clock.epoch_us((first + 1000) % modulus, EPOCH + 1500) == EPOCH + 1000


def test_stamps_keep_the_adapters_distances() -> None:
    clock = DeviceClock(None)
    clock.epoch_us(1000, EPOCH)
    # arrivals 5 ms and 9 ms late
    assert clock.epoch_us(2000, EPOCH + 6000) == EPOCH + 1000
    assert clock.epoch_us(2500, EPOCH + 10_500) == EPOCH + 1500


@pytest.mark.parametrize("ppm", [-500, 500])
def test_drift_of_a_host_that_ntp_slews_is_followed(ppm: float) -> None:
    answers = Adapter(ppm, delay=uniform(10_000)).play(range(0, 600 * SECOND, 50_000))
    assert max(map(abs, errors(answers, 60))) < 4000


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_drift_is_followed_over_hours(ppm: float) -> None:
    answers = Adapter(ppm, delay=uniform(10_000)).play(range(0, 3 * 3600 * SECOND, 200_000))
    assert min(errors(answers, 60)) > -1500
    assert max(errors(answers, 60)) < 2500


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_busy_bus_in_batches_neither_jitters_nor_jumps(ppm: float) -> None:
    answers = Adapter(ppm, delay=usb_batches()).play(range(0, 90 * SECOND, 997))
    assert worst_spacing(answers) < 0.006  # 1 µs of rounding in 997, and 0.2 % to approach the line
    assert worst_spacing(answers[::1000], 30) < 0.0022
    assert max(map(abs, errors(answers, 30))) < 500


def test_quiet_bus_does_not_inherit_the_jitter_of_its_arrivals() -> None:
    answers = Adapter(50, delay=uniform(10_000)).play(range(0, 3600 * SECOND, SECOND))
    assert worst_spacing(answers) < 0.0025
    assert min(errors(answers, 120)) > -3000
    assert max(errors(answers, 120)) < 6000


def test_late_first_frame_is_corrected() -> None:
    adapter = Adapter(delay=lambda true: 20_000 if true == 0 else 200)
    answers = adapter.play(range(0, 60 * SECOND, 10_000))
    assert answers[0][1] - answers[0][0] == 20_000
    assert max(errors(answers, 20)) < 300
    assert worst_spacing(answers) < 0.0025


@pytest.mark.parametrize("ppm", [-100, 100])
def test_counter_wraps_in_traffic(ppm: float) -> None:
    start = U32 - 5 * SECOND
    answers = Adapter(ppm, start, delay=usb_batches()).play(range(0, 60 * SECOND, 1000))
    assert max(map(abs, errors(answers, 15))) < 2500
    assert worst_spacing(answers) < 0.006


@pytest.mark.parametrize("silence_s", [1, 600, 2_200, 4_294, 4_296, 9_000, 40_000])
def test_counter_wraps_in_silence(silence_s: int) -> None:
    times = [*range(0, 60 * SECOND, 10_000)]
    times += [times[-1] + silence_s * SECOND + t for t in range(0, 10 * SECOND, 10_000)]
    answers = Adapter(30, U32 - 61 * SECOND, delay=uniform(2000)).play(times)
    # the measured drift carries over the silence, within a few millionths
    allowed = 3000 + silence_s * 8
    assert max(map(abs, errors(answers, 60))) < allowed


def test_small_counter_wraps_every_minute() -> None:
    """The counter of slcan adapters: milliseconds, up to 60,000."""
    adapter = Adapter(100, 59_000_000, modulus=60_000_000, delay=uniform(4000))
    answers = adapter.play(range(0, 600 * SECOND, 20_000))
    assert max(map(abs, errors(answers, 30))) < 2500


@pytest.mark.parametrize("step_s", [0.2, 2, 30, 3600, 86_400])
def test_clock_set_ahead_is_followed_within_seconds(step_s: float) -> None:
    step = round(step_s * SECOND)
    adapter = Adapter(80, delay=uniform(5000), host=lambda true: step if true >= 60 * SECOND else 0)
    answers = adapter.play(range(0, 120 * SECOND, 10_000))
    assert max(map(abs, errors(answers[: 60 * 100 - 10], 20))) < 4000
    assert max(abs(error - step) for error in errors(answers, 65)) < 5000


@pytest.mark.parametrize("step_s", [0.2, 2, 10])
def test_clock_set_back_is_waited_for(step_s: float) -> None:
    step = -round(step_s * SECOND)
    adapter = Adapter(80, delay=uniform(5000), host=lambda true: step if true >= 60 * SECOND else 0)
    answers = adapter.play(range(0, 120 * SECOND, 10_000))  # play asserts that nothing goes backwards
    caught_up = errors(answers, 61 + 2 * step_s)
    assert max(abs(error - step) for error in caught_up) < 35_000
    assert max(abs(error - step) for error in errors(answers, 85 + 2 * step_s)) < 5000
    assert worst_spacing(answers) < 0.51


def test_clock_set_back_by_hours_never_turns_stamps_back() -> None:
    step = -7200 * SECOND
    adapter = Adapter(delay=uniform(5000), host=lambda true: step if true >= 60 * SECOND else 0)
    answers = adapter.play(range(0, 6 * 3600 * SECOND, SECOND))
    assert worst_spacing(answers[62:14_000]) < 0.51
    assert abs(errors(answers)[-1] - step) < 10_000


def test_small_steps_of_the_host_are_followed_gently() -> None:
    adapter = Adapter(delay=uniform(1000), host=lambda true: 20_000 if true >= 90 * SECOND else 0)
    answers = adapter.play(range(0, 300 * SECOND, 10_000))
    assert worst_spacing(answers) < 0.003
    assert abs(errors(answers)[-1] - 20_000) < 1500


def test_process_that_stood_still_does_not_move_the_clock() -> None:
    def delay(true: int) -> float:
        stalled_until = 33 * SECOND
        return max(200, stalled_until - true) if true >= 30 * SECOND else 200

    answers = Adapter(20, delay=delay).play(range(0, 60 * SECOND, 1000))
    assert max(map(abs, errors(answers, 20))) < 1000
    assert worst_spacing(answers, 20) < 0.004


@pytest.mark.parametrize("modulus", [None, U32])
def test_restarted_adapter_is_mapped_again(modulus: int | None) -> None:
    clock = DeviceClock(modulus)
    for second in range(1000):
        clock.epoch_us((second + 500) * SECOND, EPOCH + second * SECOND)
    assert clock.epoch_us(7, EPOCH + 1001 * SECOND) == EPOCH + 1001 * SECOND
    assert clock.epoch_us(1007, EPOCH + 1001 * SECOND + 4000) == EPOCH + 1001 * SECOND + 1000


def test_stamps_out_of_order_do_not_turn_back() -> None:
    clock = DeviceClock(U32)
    assert [clock.epoch_us(s, EPOCH + 200) - EPOCH for s in (100, 90, 110, U32 - 5, 120)] == [
        200, 200, 210, 210, 220,
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([None, U32, 60_000_000]),
    st.lists(st.tuples(st.integers(0, U32 - 1), st.integers(-(10**10), 10**10)), max_size=200),
)
def test_no_input_turns_stamps_back(modulus: int | None, inputs: list[tuple[int, int]]) -> None:
    clock = DeviceClock(modulus)
    answers = [clock.epoch_us(stamp % (modulus or U32), EPOCH + late) for stamp, late in inputs]
    assert answers == sorted(answers)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([(5, 70)], Line(0, 70)),
        ([(0, 70), (1_000_000, 60)], Line(0, 60)),  # too short to distinguish drift from delay
        ([(0, 0), (20_000_000, 2000)], Line(1e-4, 0)),
        ([(0, 0), (10_000_000, 9000), (20_000_000, 2000)], Line(1e-4, 0)),
        ([(0, 0), (20_000_000, 90_000)], Line(6e-4, 0)),  # steeper than any clock
        ([(0, 90_000), (20_000_000, 0)], Line(-6e-4, 12_000)),
    ],
)
def test_lower_line_lies_below_all_points(points: list[tuple[int, int]], line: Line) -> None:
    found = lower_line(points)
    assert found.slope == pytest.approx(line.slope)
    assert found.offset_us == pytest.approx(line.offset_us)
    assert all(found.at(x) <= y + 1e-6 for x, y in points)


class Host:
    """The host's clocks during reads, 10 ms apart, of one frame each; its clock since the epoch is set at `step_at_us`."""

    def __init__(self, step_us: int, step_at_us: int = 30 * SECOND) -> None:
        self._step_us, self._step_at_us = step_us, step_at_us

    def ahead_us(self, true: int) -> int:
        return self._step_us if true >= self._step_at_us else 0

    def play(self, clock: DeviceClock, times: Iterable[int], stamp: Callable[[int], int]) -> list[int]:
        """Return by how much each stamp is ahead of the true time."""
        found = []
        for true in times:
            now_us = EPOCH + true + 300 + self.ahead_us(true)
            clock.observe_host(now_us, true + 300)
            found.append(clock.epoch_us(stamp(true), now_us) - EPOCH - true)
        return found


@pytest.mark.parametrize("step_s", [-86_400, -3600, -10, -1, -0.2, 0.2, 1, 30, 3600, 1.7e9])
@pytest.mark.parametrize("modulus", [None, U32, 60 * SECOND])
def test_step_of_the_hosts_clock_is_followed_at_once(step_s: float, modulus: int | None) -> None:
    step = round(step_s * SECOND)
    clock = DeviceClock(modulus)
    found = Host(step).play(
        clock, range(0, 60 * SECOND, 10_000), lambda true: true % modulus if modulus else true
    )
    assert max(map(abs, found[:3000])) < 1000
    assert max(abs(error - step) for error in found[3000:]) < 1000


def test_machine_that_slept_while_the_adapter_counted_on_gets_true_stamps() -> None:
    clock = DeviceClock(None)
    slept = 3600 * SECOND
    clock.observe_host(EPOCH, 0)
    clock.epoch_us(0, EPOCH)
    clock.observe_host(EPOCH + slept, 1000)
    assert clock.epoch_us(slept, EPOCH + slept) == EPOCH + slept


def test_stamps_keep_their_order_after_a_step_back() -> None:
    clock = DeviceClock(None)
    Host(-3600 * SECOND).play(clock, range(0, 31 * SECOND, 10_000), lambda true: true)
    last = clock.epoch_us(31 * SECOND, EPOCH - 3569 * SECOND)
    assert clock.epoch_us(30 * SECOND, EPOCH - 3569 * SECOND) == last


def read(clock: DeviceClock, stamp_us: int, now_us: int) -> int:
    """Return the stamp that a frame gets, which is the only one of a read."""
    packet = encode(Frame(clock.epoch_us(stamp_us, now_us), 0x123, 0, b""))
    wire = PacketDecoder()
    wire.receive(clock.checked(Batch(packet, 1), now_us, now_us - EPOCH).packets)
    (frame,) = wire.frames()
    return frame.timestamp_us


def test_a_read_that_is_not_believed_is_stamped_no_earlier_than_the_one_before() -> None:
    clock = DeviceClock(U32)
    assert read(clock, 0, EPOCH) == EPOCH
    ahead = read(clock, 800_000, EPOCH + 100)
    assert ahead == EPOCH + 800_000, "less than a second off is believed for now"
    assert read(clock, 1_300_000, EPOCH + 200) == ahead, "more than a second off is not"
    assert read(clock, 1_300_100, EPOCH + 300) == ahead


def test_frames_without_stamps_of_their_own_keep_the_order() -> None:
    clock = DeviceClock(U32)
    assert not clock.used
    clock.hold(EPOCH + 900)
    assert clock.arrival_us(EPOCH) == EPOCH, "nothing has been stamped by the clock yet"
    assert not clock.used
    assert clock.epoch_us(0, EPOCH) == EPOCH
    assert clock.used
    assert clock.arrival_us(EPOCH - 1) == EPOCH
    assert clock.arrival_us(EPOCH + 1) == EPOCH + 1
    clock.hold(EPOCH + 900)
    assert clock.epoch_us(10, EPOCH + 10) == EPOCH + 900
    clock.hold(EPOCH + 5)
    assert clock.epoch_us(910, EPOCH + 910) == EPOCH + 910


def test_a_clock_that_is_not_used_any_more_counts_as_used_and_gives_arrivals() -> None:
    clock = DeviceClock(U32)
    clock.epoch_us(0, EPOCH)
    clock.fault = "not used: it stands still"
    assert clock.used
    assert clock.arrival_us(EPOCH - 10) == EPOCH
    assert clock.arrival_us(EPOCH + 10) == EPOCH + 10
    assert clock.used
