"""The parts put together, without a hub: the end in order, and the end by a bug."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.forwarder.disk_spool import DiskSpool
from cancorderd.forwarder.forwarder import Forwarder
from cancorderd.forwarder.publisher import Publisher
from cancorderd.ipc.messages import GatewayLosses, NewFeed, SafePosition
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet
from tests.support.harness import PATIENCE_S
from tests.unit.forwarder.batches import batch, left_on

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cancorderd.forwarder.entry import Entry
    from cancorderd.forwarder.outbox import Segment

FRAME = packet(1_000_000, 0x123, 0, bytes(8))


def forwarder_with_frames(
    spool: Path, frames: int, safe: SafePosition | None = None, losses: GatewayLosses | None = None
) -> tuple[Forwarder, socket.socket]:
    """Return a forwarder whose hub is away, and the worker's end of a stream with these frames."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = ForwardSettings(url=(f"nats://127.0.0.1:{port}",), ram_s=0)
    forwarder = Forwarder(settings, "truck-17", str(spool), lambda _message: None)
    worker, stream = socket.socketpair()
    worker.sendall(feed_mark(0, len(FRAME) * frames, frames) + FRAME * frames)
    forwarder.take_losses(losses or GatewayLosses("a", 0, 0, 0))
    forwarder.add_feed(NewFeed("a", 1, safe), stream)
    return forwarder, worker


def test_end_writes_all_frames(tmp_path: Path) -> None:
    async def live() -> None:
        forwarder, worker = forwarder_with_frames(tmp_path, 7)
        with worker:
            forwarder.request_end()
            await asyncio.wait_for(forwarder.run(), PATIENCE_S)

    asyncio.run(live())
    assert left_on(DiskSpool(str(tmp_path), 1 << 20))[1] == {"a": 7}


def test_frames_are_taken_while_a_slow_disk_is_searched_for_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search may take minutes; an end does not wait for all of it."""
    disk = DiskSpool(str(tmp_path), 1 << 20)
    for number in (1, 2):
        disk.complete(disk.append([batch(number)])[0])
    disk.close()
    go, scan, scanned = threading.Event(), DiskSpool.scan, []

    def slow_scan(disk: DiskSpool, name: str) -> Segment | None:
        scanned.append(name)
        assert go.wait(PATIENCE_S)
        return scan(disk, name)

    async def live() -> None:
        forwarder, worker = forwarder_with_frames(tmp_path, 7)
        with worker:
            running = asyncio.create_task(forwarder.run())
            async with asyncio.timeout(PATIENCE_S):
                while forwarder._account("a").waiting < 7:  # noqa: ASYNC110 - a task of the forwarder
                    await asyncio.sleep(0.01)
            forwarder.request_end()
            async with asyncio.timeout(PATIENCE_S):
                while any(task.get_name() == "publish" for task in asyncio.all_tasks()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            go.set()
            await running

    monkeypatch.setattr(DiskSpool, "scan", slow_scan)
    asyncio.run(live())
    assert len(scanned) == 1
    monkeypatch.undo()
    after = DiskSpool(str(tmp_path), 1 << 20)
    segments, frames, _ = left_on(after)
    assert (frames, [(each.first, each.last) for each in segments]) == ({"a": 27}, [(1, 1), (2, 2), (3, 3)])


def test_losses_while_no_forwarder_ran_are_in_the_first_batch(tmp_path: Path) -> None:
    async def live() -> None:
        forwarder, worker = forwarder_with_frames(
            tmp_path, 7, SafePosition("fedcba9876543210", 0, 0, kernel=5), GatewayLosses("a", 12, 0, 0)
        )
        with worker:
            forwarder.request_end()
            await asyncio.wait_for(forwarder.run(), PATIENCE_S)

    asyncio.run(live())
    disk = DiskSpool(str(tmp_path), 1 << 20)
    (segment,), _, _ = left_on(disk)
    assert [entry.head.lost.kernel for entry in disk.load(segment, segment.size)[0]] == [7]


def test_end_during_a_write_writes_no_frame_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()
    append = DiskSpool.append

    def slow_append(disk: DiskSpool, entries: Sequence[Entry]) -> tuple[Segment, int]:
        begun.set()
        assert go.wait(PATIENCE_S)
        return append(disk, entries)

    def spills() -> bool:
        return any(task.get_name() == "spill" for task in asyncio.all_tasks())

    async def live() -> None:
        forwarder, worker = forwarder_with_frames(tmp_path, 7)
        with worker:
            running = asyncio.create_task(forwarder.run())
            await asyncio.to_thread(begun.wait, PATIENCE_S)
            forwarder.request_end()
            async with asyncio.timeout(PATIENCE_S):
                while spills():  # noqa: ASYNC110 - a task of the forwarder
                    await asyncio.sleep(0.01)
            go.set()
            await running

    monkeypatch.setattr(DiskSpool, "append", slow_append)
    asyncio.run(live())
    assert left_on(DiskSpool(str(tmp_path), 1 << 20))[1] == {"a": 7}


def test_bug_in_a_round_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor starts the next one; otherwise a bus would never be read again."""

    async def live() -> None:
        forwarder, worker = forwarder_with_frames(tmp_path, 7)
        monkeypatch.setattr(forwarder, "_add", lambda _entry: 1 // 0)
        with worker, pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(forwarder.run(), PATIENCE_S)
        forwarder._streams["a"].close()  # as the end of the process

    asyncio.run(live())


def test_end_while_a_library_swallows_the_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nats-py does if it comes while bytes are flushed."""

    async def live() -> None:
        forwarder, worker = forwarder_with_frames(tmp_path, 7)
        begun = asyncio.Event()

        async def publish(_publisher: Publisher) -> None:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        monkeypatch.setattr(Publisher, "run", publish)
        with worker:
            running = asyncio.create_task(forwarder.run())
            await begun.wait()
            forwarder.request_end()
            await asyncio.wait_for(running, PATIENCE_S)

    asyncio.run(live())
    assert left_on(DiskSpool(str(tmp_path), 1 << 20))[1] == {"a": 7}
