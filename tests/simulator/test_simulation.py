"""The simulation from outside: clients, clocks, batches."""

from __future__ import annotations

import pytest

from cancorderd.frame import NOTHING, Frame
from cancorderd.simulator import Options, Simulation
from cancorderd.simulator.simulation import CLOCK_STEP_US, GATHER_S, MAX_BEHIND_S, MOST_AT_ONCE
from cancorderd.wire import PacketDecoder
from tests.simulator.listener import EPOCH_US, START_S, bare

SHORT = {"seed": 1, "image_size": 1_500}
SESSION_BEGIN = bytes.fromhex("02 10 03 cc cc cc cc cc")


class Shell:
    """Calls a simulation as a source does, by a made-up clock."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.now_s = START_S
        self.epoch_us = EPOCH_US - START_S * 1e6

    def clients(self, count: int) -> None:
        self.simulation.clients(count, self.now_s)

    def run(self, seconds: float) -> list[Frame]:
        until, decoder = self.now_s + seconds, PacketDecoder()
        while (due_s := self.simulation.due_s()) is not None and due_s <= until:
            self.now_s = max(self.now_s, due_s)
            self.advance(decoder)
        self.now_s = until
        return list(decoder.frames())

    def advance(self, decoder: PacketDecoder) -> int:
        batch = self.simulation.advance(self.now_s, round(self.epoch_us + self.now_s * 1e6))
        decoder.receive(batch.packets)
        return batch.frames


def shell(**settings: object) -> Shell:
    return Shell(Simulation(Options(**SHORT | settings), START_S))  # type: ignore[arg-type]


def sessions(frames: list[Frame]) -> int:
    """Sessions begin with this, and use it once more after the reset."""
    return sum(frame.data == SESSION_BEGIN for frame in frames)


def test_nothing_happens_before_a_client_comes() -> None:
    quiet = shell()
    assert quiet.simulation.due_s() is None
    assert quiet.simulation.advance(START_S + 10, EPOCH_US) == NOTHING
    assert quiet.run(100) == []


@pytest.mark.parametrize("speed", [0.5, 1, 50])
def test_a_session_begins_when_a_client_comes(speed: float) -> None:
    bus = shell(speed=speed)
    bus.now_s += 1_000
    bus.clients(1)
    begun = bus.now_s
    frames = bus.run(0.5 / speed)
    assert frames[0].data == SESSION_BEGIN
    assert 0 < frames[0].timestamp_us - (bus.epoch_us + begun * 1e6) < 60_000 / speed


def test_a_client_that_goes_ends_it_and_the_next_one_finds_the_same() -> None:
    bus = shell(speed=50)
    bus.clients(1)
    first = bus.run(0.4)
    bus.clients(0)
    assert bus.simulation.due_s() is None
    assert bus.run(1) == []
    bus.clients(1)
    assert bare(bus.run(0.4)) == bare(first)


def test_a_second_client_changes_nothing_while_a_session_goes_on() -> None:
    alone, joined = shell(speed=50), shell(speed=50)
    alone.clients(1)
    joined.clients(1)
    frames = joined.run(0.1)
    joined.clients(2)
    joined.clients(1)
    assert bare(frames + joined.run(1.0)) == bare(alone.run(1.1))


def test_a_second_client_while_polling_makes_a_session_begin_soon() -> None:
    bus = shell()
    bus.clients(1)
    while not any(frame.arbitration_id == 0x7DF and frame.data[1] == 1 for frame in bus.run(0.5)):
        pass
    bus.run(1.0)
    bus.clients(2)
    assert sessions(bus.run(2.0)) >= 1


def test_without_loop_there_is_one_session_for_each_client() -> None:
    bus = shell(speed=50, loop=False)
    bus.clients(1)
    once = sessions(bus.run(5))
    assert once == 2
    assert bus.simulation.due_s() is None
    assert bus.run(5) == []
    bus.clients(2)
    assert sessions(bus.run(5)) == once
    bus.clients(1)
    assert bus.run(5) == []


def test_without_loop_a_client_that_comes_meanwhile_gets_the_next_session() -> None:
    bus = shell(speed=50, loop=False)
    bus.clients(1)
    bus.run(0.1)
    bus.clients(2)
    assert sessions(bus.run(5)) == 3  # one was seen before
    assert bus.simulation.due_s() is None


def test_start_always_needs_no_client_and_heeds_none() -> None:
    free, heeded = shell(speed=50, start="always"), shell(speed=50, start="always")
    frames = []
    for count in (0, 1, 3, 0):
        heeded.clients(count)
        frames += heeded.run(0.2)
    assert bare(frames) == bare(free.run(0.8)) != []


def test_background_goes_on_after_the_only_session() -> None:
    bus = shell(speed=50, loop=False, background=1_000)
    bus.clients(1)
    bus.run(3)
    assert len(bus.run(1)) == pytest.approx(1_000, rel=0.02)


def test_background_keeps_its_rate_at_any_speed() -> None:
    for speed in (0.5, 1, 20):
        bus = shell(speed=speed, background=500)
        bus.clients(1)
        frames = [frame for frame in bus.run(4) if frame.arbitration_id not in (0x7E0, 0x7E8, 0x7DF)]
        # The engine's share is missing while it is silenced.
        assert 0.95 * 2_000 < len(frames) < 1.02 * 2_000


def test_a_batch_is_bounded_and_the_rest_is_due_at_once() -> None:
    bus, decoder = shell(speed=1000, background=100_000), PacketDecoder()
    bus.clients(1)
    bus.now_s += 0.1
    frames = bus.advance(decoder)
    assert frames == MOST_AT_ONCE
    due_s = bus.simulation.due_s()
    assert due_s is not None
    assert due_s <= bus.now_s


def test_it_asks_to_be_called_a_thousand_times_a_second_at_most() -> None:
    bus, decoder = shell(background=3_000), PacketDecoder()
    bus.clients(1)
    bus.now_s += 0.01
    bus.advance(decoder)
    assert bus.simulation.due_s() == pytest.approx(bus.now_s + GATHER_S, abs=1e-6)


def test_a_machine_that_slept_goes_on_from_now() -> None:
    bus = shell()
    bus.clients(1)
    before = bus.run(3)
    bus.now_s += 3600
    after = bus.run(3)
    assert after[0].timestamp_us >= round(bus.epoch_us + (bus.now_s - 3 - MAX_BEHIND_S) * 1e6)
    straight = shell()
    straight.clients(1)
    assert bare(before + after) == bare(straight.run(10))[: len(before) + len(after)]


def test_two_clocks_that_are_read_one_after_the_other_do_not_shake_the_stamps() -> None:
    steady, shaken = shell(), shell()
    steady.clients(1)
    shaken.clients(1)
    expected, got = [], []
    for jitter_us in (0, 3_000, -2_000, CLOCK_STEP_US - 10, 0):
        expected += steady.run(1)
        shaken.epoch_us = steady.epoch_us + jitter_us
        got += shaken.run(1)
    assert got == expected


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000, CLOCK_STEP_US + 1])
def test_a_clock_that_is_set_is_followed(step_us: int) -> None:
    steady, set_ = shell(), shell()
    for bus in (steady, set_):
        bus.clients(1)
        bus.run(1)
    set_.epoch_us += step_us
    for after, before in zip(set_.run(1), steady.run(1), strict=True):
        assert after.timestamp_us == pytest.approx(before.timestamp_us + step_us, abs=1)


def test_only_wanted_ids_are_given() -> None:
    wanted = lambda arbitration_id, extended: arbitration_id == 0x7E8 and not extended  # noqa: E731
    filtered = Shell(Simulation(Options(**SHORT), START_S, wanted))  # type: ignore[arg-type]
    everything = shell()
    for bus in (filtered, everything):
        bus.clients(1)
    assert filtered.run(5) == [frame for frame in everything.run(5) if frame.arbitration_id == 0x7E8]
    flooded = Simulation(Options(rate=1_000, start="always"), START_S, wanted)
    assert flooded.due_s() is None


def test_the_flood_takes_the_place_of_everything_else() -> None:
    bus = shell(rate=2_000, background=100)
    assert bus.simulation.due_s() is None
    bus.clients(1)
    frames = bus.run(1)
    assert [int.from_bytes(frame.data) for frame in frames] == list(range(len(frames)))
    assert len(frames) == pytest.approx(2_000, abs=5)
    bus.clients(2)
    assert int.from_bytes(bus.run(0.1)[0].data) == len(frames)
    bus.clients(0)
    assert bus.simulation.due_s() is None
    bus.clients(1)
    assert int.from_bytes(bus.run(1)[0].data) == 0
