"""The simulation's interface: clients, clocks, batches."""

from __future__ import annotations

import pytest

from cancorderd.protocol import quality_frame
from cancorderd.protocol.batch import EMPTY_BATCH
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import PacketDecoder
from cancorderd.simulator.options import Options
from cancorderd.simulator.simulation import (
    CLOCK_STEP_US,
    GATHER_S,
    MAX_BATCH_FRAMES,
    MAX_BEHIND_S,
    Simulation,
)
from cancorderd.simulator.world import World
from tests.unit.simulator.simulation_runs import EPOCH_US, START_S, bare

SHORT = {"seed": 1, "image_size": 1_500}
SESSION_BEGIN = bytes.fromhex("02 10 03 cc cc cc cc cc")


class Shell:
    """Caller of a simulation, like a source, with a simulated clock."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.now_s = START_S
        self.epoch_us = EPOCH_US - START_S * 1e6

    def clients(self, count: int) -> None:
        self.simulation.set_client_count(count, self.now_s)

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
    """Return how often SESSION_BEGIN occurs: at the start of a session, and again after its reset."""
    return sum(frame.data == SESSION_BEGIN for frame in frames)


def test_no_frame_is_sent_before_a_client_connects() -> None:
    quiet = shell()
    assert quiet.simulation.due_s() is None
    assert quiet.simulation.advance(START_S + 10, EPOCH_US) == EMPTY_BATCH
    assert quiet.run(100) == []


@pytest.mark.parametrize("speed", [0.5, 1, 50])
def test_a_session_begins_when_a_client_connects(speed: float) -> None:
    bus = shell(speed=speed)
    bus.now_s += 1_000
    bus.clients(1)
    begun = bus.now_s
    frames = bus.run(0.5 / speed)
    assert frames[0].data == SESSION_BEGIN
    assert 0 < frames[0].timestamp_us - (bus.epoch_us + begun * 1e6) < 60_000 / speed


def test_the_run_ends_with_the_last_client_and_repeats_for_the_next() -> None:
    bus = shell(speed=50)
    bus.clients(1)
    first = bus.run(0.4)
    bus.clients(0)
    assert bus.simulation.due_s() is None
    assert bus.run(1) == []
    bus.clients(1)
    assert bare(bus.run(0.4)) == bare(first)


def test_a_second_client_during_a_session_changes_nothing() -> None:
    alone, joined = shell(speed=50), shell(speed=50)
    alone.clients(1)
    joined.clients(1)
    frames = joined.run(0.1)
    joined.clients(2)
    joined.clients(1)
    assert bare(frames + joined.run(1.0)) == bare(alone.run(1.1))


def test_a_second_client_during_polling_starts_a_session_soon() -> None:
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


def test_without_loop_a_client_that_connects_during_a_session_gets_the_next() -> None:
    bus = shell(speed=50, loop=False)
    bus.clients(1)
    bus.run(0.1)
    bus.clients(2)
    assert sessions(bus.run(5)) == 3  # the first of four was in the frames before
    assert bus.simulation.due_s() is None


def test_start_always_ignores_clients() -> None:
    free, heeded = shell(speed=50, start="always"), shell(speed=50, start="always")
    frames = []
    for count in (0, 1, 3, 0):
        heeded.clients(count)
        frames += heeded.run(0.2)
    assert bare(frames) == bare(free.run(0.8)) != []


def test_start_always_without_loop_has_a_session_for_each_client_that_comes() -> None:
    bus = shell(speed=50, loop=False, start="always")
    once = sessions(bus.run(5))
    assert once == 2
    assert bus.run(5) == []
    bus.clients(1)
    assert sessions(bus.run(5)) == once
    assert bus.run(5) == []
    bus.clients(0)
    assert bus.run(5) == []
    bus.clients(1)
    bus.clients(3)  # during a session: one more follows
    assert sessions(bus.run(10)) == 2 * once
    assert bus.run(5) == []


def test_a_pattern_of_a_count_is_sent_again_for_the_next_client() -> None:
    for start, alone in (("always", 100), ("client", 0)):
        bus = shell(pattern="numbered", count=100, start=start)
        assert len(bus.run(5)) == alone
        bus.clients(1)
        assert [int.from_bytes(frame.data) for frame in bus.run(5)] == list(range(alone, alone + 100))
        assert bus.simulation.due_s() is None
        bus.clients(2)
        sent = len(bus.run(0.05))
        assert sent == pytest.approx(50, abs=2)
        bus.clients(3)  # the frames that are being sent are for this client, too
        assert len(bus.run(5)) == 100 - sent


def test_a_pattern_has_its_own_id_length_and_flags() -> None:
    wanted = lambda arbitration_id, extended: (arbitration_id, extended) == (0x18FF00AA, True)  # noqa: E731
    keys = {
        "pattern": "numbered",
        "id": 0x18FF00AA,
        "extended": True,
        "fd": True,
        "length": 64,
        "rate": 10_000,
    }
    bus = Shell(Simulation(Options(**keys), START_S, wanted))  # type: ignore[arg-type]
    bus.clients(1)
    frames = bus.run(1)
    assert len(frames) == pytest.approx(10_000, abs=15)
    assert {(frame.arbitration_id, frame.flags, len(frame.data)) for frame in frames} == {(0x18FF00AA, 7, 64)}


@pytest.mark.parametrize(
    ("keys", "length", "flags"), [({}, 8, 0), ({"fd": True}, 64, 6), ({"fd": True, "length": 8}, 8, 0)]
)
def test_the_pattern_quality_has_consecutive_sequences_and_the_senders_time(
    keys: dict[str, object], length: int, flags: int
) -> None:
    bus = shell(pattern="quality", test_id=5, **keys)
    bus.clients(1)
    frames = bus.run(2)
    assert {(frame.arbitration_id, frame.flags, len(frame.data)) for frame in frames} == {
        (0x700, flags, length)
    }
    parsed = [quality_frame.parse(frame.data, fd=frame.is_fd) for frame in frames]
    assert [content.sequence for content in parsed] == list(range(len(frames)))
    assert len(frames) == pytest.approx(2_000, abs=3)
    for frame, content in zip(frames, parsed, strict=True):
        assert content.test_id == 5
        assert frame.timestamp_us - EPOCH_US - content.sender_us == pytest.approx(
            0, abs=1001 if length == 8 else 1
        )


def test_background_traffic_continues_after_the_only_session() -> None:
    bus = shell(speed=50, loop=False, background=1_000)
    bus.clients(1)
    bus.run(3)
    assert len(bus.run(1)) == pytest.approx(1_000, rel=0.02)


def test_background_traffic_keeps_its_rate_at_any_speed() -> None:
    for speed in (0.5, 1, 20):
        bus = shell(speed=speed, background=500)
        bus.clients(1)
        frames = [frame for frame in bus.run(4) if frame.arbitration_id not in (0x7E0, 0x7E8, 0x7DF)]
        # The engine's frames are missing while it is silenced.
        assert 0.95 * 2_000 < len(frames) < 1.02 * 2_000


def test_a_batch_is_bounded_and_the_rest_is_due_at_once() -> None:
    bus, decoder = shell(speed=1000, background=100_000), PacketDecoder()
    bus.clients(1)
    bus.now_s += 0.1
    frames = bus.advance(decoder)
    assert frames == MAX_BATCH_FRAMES
    due_s = bus.simulation.due_s()
    assert due_s is not None
    assert due_s <= bus.now_s


def test_the_next_call_is_due_a_millisecond_later_at_the_earliest() -> None:
    bus, decoder = shell(background=3_000), PacketDecoder()
    bus.clients(1)
    bus.now_s += 0.01
    bus.advance(decoder)
    assert bus.simulation.due_s() == pytest.approx(bus.now_s + GATHER_S, abs=1e-6)


def test_after_sleep_the_simulation_continues_from_now() -> None:
    bus = shell()
    bus.clients(1)
    before = bus.run(3)
    bus.now_s += 3600
    after = bus.run(3)
    assert after[0].timestamp_us >= round(bus.epoch_us + (bus.now_s - 3 - MAX_BEHIND_S) * 1e6)
    straight = shell()
    straight.clients(1)
    assert bare(before + after) == bare(straight.run(10))[: len(before) + len(after)]


def test_jitter_between_the_clocks_does_not_change_time_stamps() -> None:
    steady, shaken = shell(), shell()
    steady.clients(1)
    shaken.clients(1)
    expected, received = [], []
    for jitter_us in (0, 3_000, -2_000, CLOCK_STEP_US - 10, 0):
        expected += steady.run(1)
        shaken.epoch_us = steady.epoch_us + jitter_us
        received += shaken.run(1)
    assert received == expected


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000, CLOCK_STEP_US + 1])
def test_a_step_of_the_epoch_clock_is_followed(step_us: int) -> None:
    steady, set_ = shell(), shell()
    for bus in (steady, set_):
        bus.clients(1)
        bus.run(1)
    set_.epoch_us += step_us
    for after, before in zip(set_.run(1), steady.run(1), strict=True):
        assert after.timestamp_us == pytest.approx(before.timestamp_us + step_us, abs=1)


def test_only_accepted_ids_are_returned() -> None:
    wanted = lambda arbitration_id, extended: arbitration_id == 0x7E8 and not extended  # noqa: E731
    filtered = Shell(Simulation(Options(**SHORT), START_S, wanted))  # type: ignore[arg-type]
    everything = shell()
    for bus in (filtered, everything):
        bus.clients(1)
    assert filtered.run(5) == [frame for frame in everything.run(5) if frame.arbitration_id == 0x7E8]
    flooded = Simulation(Options(rate=1_000, start="always"), START_S, wanted)
    assert flooded.due_s() is None


def test_the_flood_replaces_everything_else() -> None:
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


def test_frames_that_the_wire_does_not_have_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = [(0.0, (0x800, b"", 0)), (0.0, (1, bytes(9), 0)), (0.0, (1, b"", 0))]
    monkeypatch.setattr(World, "run", lambda *_: [strange.pop()] if strange else [])
    running = shell(start="always")
    running.clients(1)
    decoder = PacketDecoder()
    for _ in range(3):
        running.now_s += 0.1
        running.advance(decoder)
    assert [frame.arbitration_id for frame in decoder.frames()] == [1]
    assert running.simulation.malformed == 2
