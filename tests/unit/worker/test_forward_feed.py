"""The worker's side of forwarding: batches with marks on a socket, a backlog with a bound, and never a wait."""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.forwarder.feed_cut import FeedCutter
from cancorderd.protocol.batch import Batch
from cancorderd.protocol.packets import packet
from cancorderd.worker.forward_feed import ForwardFeed

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 16


class Rig:
    def __init__(self, fed: int = 0) -> None:
        self.notices: list[str] = []
        self.selector = selectors.DefaultSelector()
        self.ours, theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.feed = ForwardFeed(
            theirs, LIMIT, self.selector, lambda _level, text: self.notices.append(text), fed
        )
        self.cutter = FeedCutter()
        self.data = b""
        self.frames = 0

    def send(self, count: int, frames: int = 100) -> None:
        packets = packet(1, 0x123, 0, bytes(8)) * frames
        for _ in range(count):
            self.feed.feed(Batch(packets, frames))

    def read(self) -> None:
        """Read everything, and let the feed send its backlog."""
        while True:
            for key, events in self.selector.select(0):
                key.data(events)
            try:
                received = self.ours.recv(1 << 20)
            except BlockingIOError:
                return
            if not received:
                return
            self.data += received
            cut = self.cutter.cut(self.data)
            self.data = self.data[cut.size :]
            self.frames += cut.frames

    def close(self) -> None:
        self.feed.close()
        self.ours.close()
        self.selector.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_batches_arrive_with_their_position(rig: Rig) -> None:
    rig.send(3, frames=5)
    rig.read()
    assert (rig.frames, rig.cutter.position, rig.cutter.lost, rig.feed.fed) == (15, 15, 0, 15)


def test_batch_without_frames_is_not_sent(rig: Rig) -> None:
    rig.feed.feed(Batch(b"", 0, b"x" * 14, 1))
    rig.read()
    assert rig.data == b""


def test_forwarder_that_reads_nothing_costs_frames_that_the_marks_show(rig: Rig) -> None:
    rig.send(2000)
    rig.feed.tick()
    rig.read()
    rig.send(1, frames=1)
    rig.read()
    assert rig.frames < 200_001
    assert rig.frames + rig.cutter.lost == rig.feed.fed == 200_001
    assert rig.notices == ["forwarding falls behind: the forwarder does not take the frames in time"]


def test_successor_goes_on_counting() -> None:
    rig = Rig(fed=70)
    rig.send(1, frames=5)
    rig.read()
    assert (rig.cutter.begin, rig.cutter.position) == (70, 75)
    rig.close()


def test_end_sends_the_backlog_if_the_forwarder_reads(rig: Rig) -> None:
    rig.send(3)
    rig.feed.close()
    rig.read()
    assert rig.frames == 300
    assert rig.ours.recv(1) == b""


def test_forwarder_that_is_gone_is_no_failure(rig: Rig) -> None:
    rig.ours.close()
    rig.send(3)
    rig.feed.tick()
    assert rig.feed.fed == 300
