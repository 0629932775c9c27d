"""Rounds in which the streams of all buses are read, and the streams of one bus."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cancorderd.forwarder.feed_streams import FeedStreams
from cancorderd.forwarder.gathering import Gathering
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet
from tests.support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cancorderd.forwarder.feed_cut import Cut

FRAME = packet(1000, 0x123, 0, bytes(8))
GATHER_S = 0.01


class Rig:
    """Buses whose workers are sockets, and the times of all that is read."""

    def __init__(self) -> None:
        self.loop = VirtualTimeLoop()
        self.rounds: list[float] = []
        self.cuts: list[tuple[str, int, float]] = []
        """Bus, frames, time."""
        self.ended: list[int] = []
        self.held: list[bool] = []
        self.readers: dict[str, FeedStreams] = {}
        self.sockets: list[socket.socket] = []
        self._fed: Counter[str] = Counter()
        self.gathering = self.loop.run_until_complete(self._gathering())

    async def _gathering(self) -> Gathering:
        return Gathering(GATHER_S, lambda: self.rounds.append(round(self.loop.time(), 3)), self.held.append)

    def add(self, bus: str, number: int = 1) -> socket.socket:
        """Return the worker's end of a further stream of a bus."""
        theirs, ours = socket.socketpair()
        self.sockets += theirs, ours

        def on_cut(cut: Cut) -> None:
            self.cuts.append((bus, cut.frames, round(self.loop.time(), 3)))

        async def add() -> None:
            if bus not in self.readers:
                self.readers[bus] = FeedStreams(self.gathering, on_cut, self.ended.append)
            self.readers[bus].add(number, ours)

        self.loop.run_until_complete(add())
        return theirs

    def send(self, bus: str, worker: socket.socket, frames: int) -> None:
        worker.send(feed_mark(self._fed[bus], len(FRAME) * frames, frames) + FRAME * frames)
        self._fed[bus] += frames

    def watched(self) -> int:
        """Return how many streams wake the loop with their next frame."""
        selector = self.loop._selector  # type: ignore[attr-defined]
        ours = {each.fileno() for each in self.sockets}
        return sum(key.fd in ours for key in selector.get_map().values())


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.gathering.close()
    for reader in rig.readers.values():

        async def close(reader: FeedStreams = reader) -> None:
            reader.close()

        rig.loop.run_until_complete(close())
    for each in rig.sockets:
        each.close()
    rig.loop.close()


def test_all_buses_are_read_in_one_round(rig: Rig) -> None:
    a, b = rig.add("a"), rig.add("b")
    rig.send("a", a, 3)
    rig.loop.run(0.004)
    rig.send("b", b, 5)
    rig.loop.run(0.007)
    assert rig.cuts == [("a", 3, 0.01), ("b", 5, 0.01)]
    assert rig.rounds == [0.01]


def test_busy_bus_wakes_nobody(rig: Rig) -> None:
    a = rig.add("a")
    rig.send("a", a, 2)
    rig.loop.run(0.001)
    for _ in range(5):
        assert rig.watched() == 0
        rig.send("a", a, 2)
        rig.loop.run(GATHER_S)
    assert [frames for _, frames, _ in rig.cuts] == [4, 2, 2, 2, 2]
    assert rig.rounds == [0.01, 0.02, 0.03, 0.04, 0.05]


def test_batches_that_wait_anyway_gather_for_longer(rig: Rig) -> None:
    a = rig.add("a")
    rig.gathering.patient = True
    for _ in range(30):
        rig.send("a", a, 1)
        rig.loop.run(GATHER_S)
    assert rig.rounds == [0.1, 0.2, 0.3]
    rig.gathering.patient = False
    for _ in range(14):
        rig.send("a", a, 1)
        rig.loop.run(GATHER_S)
    assert rig.rounds == [0.1, 0.2, 0.3, 0.4, 0.41, 0.42, 0.43, 0.44]


def test_other_events_wait_while_a_bus_is_busy(rig: Rig) -> None:
    a = rig.add("a")
    for _ in range(3):
        rig.send("a", a, 2)
        rig.loop.run(GATHER_S)
        assert rig.held[-1]
    rig.loop.run(1.0)
    assert not rig.held[-1], "it is silent"
    rig.send("a", a, 2)
    rig.loop.run(GATHER_S)
    assert rig.held[-1]
    rig.gathering.patient = True
    rig.send("a", a, 2)
    rig.loop.run(GATHER_S)
    assert not rig.held[-1], "each acknowledgement lets further batches go"
    rig.gathering.patient = False
    rig.gathering.add(rig.readers["a"])
    rig.gathering.close()
    assert not rig.held[-1]


def test_bus_that_falls_silent_is_watched_again(rig: Rig) -> None:
    a = rig.add("a")
    rig.send("a", a, 2)
    rig.loop.run(1.0)
    assert (rig.watched(), len(rig.rounds)) == (1, 2)
    rig.send("a", a, 1)
    rig.loop.run(1.0)
    assert rig.cuts == [("a", 2, 0.01), ("a", 1, 1.01)]
    assert (rig.watched(), len(rig.rounds)) == (1, 3), "a slow bus takes one round for a frame"


@pytest.mark.parametrize(("most_bytes", "bodies", "rounds"), [(64_000, 3, 1), (3000, 52, 7)])
def test_many_bytes_are_read_at_once_in_several_bodies(
    rig: Rig, most_bytes: int, bodies: int, rounds: int
) -> None:
    a = rig.add("a")
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    rig.gathering.most_bytes = most_bytes
    rig.send("a", a, 7000)
    rig.loop.run(0.011)
    assert sum(frames for _, frames, _ in rig.cuts) == 7000
    assert len(rig.cuts) == bodies
    assert rig.rounds == [0.01] * rounds


def test_failure_of_a_round_ends_the_rounds(rig: Rig) -> None:
    a, b = rig.add("a"), rig.add("b")

    def fail(cut: Cut) -> None:
        raise ZeroDivisionError

    rig.readers["a"]._on_cut = fail
    rig.send("a", a, 2)
    rig.send("b", b, 2)
    rig.loop.run(1.0)
    assert isinstance(rig.gathering.failed.exception(), ZeroDivisionError)
    assert rig.rounds == []


def test_no_round_follows_the_end(rig: Rig) -> None:
    a = rig.add("a")
    rig.gathering.close()
    rig.send("a", a, 2)
    rig.loop.run(1.0)
    assert rig.rounds == []


def test_streams_of_a_bus_follow_each_other(rig: Rig) -> None:
    first, second = rig.add("a", 1), rig.add("a", 2)
    rig.send("a", first, 2)
    rig.send("a", second, 3)
    rig.loop.run(0.5)
    assert rig.cuts == [("a", 2, 0.01)]
    first.close()
    rig.loop.run(0.5)
    assert rig.ended == [1]
    assert [frames for _, frames, _ in rig.cuts] == [2, 3]
    second.close()
    rig.loop.run(0.5)
    assert rig.ended == [1, 2]
    assert not rig.readers["a"].open
    third = rig.add("a", 3)
    rig.send("a", third, 1)
    rig.loop.run(0.5)
    assert [frames for _, frames, _ in rig.cuts] == [2, 3, 1]


def test_torn_end_of_a_killed_workers_stream_is_given_up(rig: Rig) -> None:
    first = rig.add("a", 1)
    rig.send("a", first, 2)
    first.send(FRAME[:-1])
    rig.loop.run(5.0)
    assert rig.ended == [], "the rest may come"
    second = rig.add("a", 2)
    rig.send("a", second, 1)
    rig.loop.run(5.0)
    assert rig.ended == [1]
    assert [frames for _, frames, _ in rig.cuts] == [2, 1]
