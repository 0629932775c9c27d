"""Several starts of a forwarder in one outage that is longer than the spool: every frame is at the hub or counted as lost."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.nats.account import Account
from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.forwarder.forwarder import Forwarder
from cancorderd.hub import headers
from cancorderd.ipc.messages import ForwarderReport, NewFeed
from cancorderd.protocol.feed_mark import feed_mark
from cancorderd.protocol.packets import packet
from tests.support.harness import poll
from tests.support.hub_account import Hub
from tests.support.nats_server import PROGRAM, NatsServer
from tests.support.numbered_frames import ARBITRATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cancorderd.ipc.messages import Message

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nats-server is missing: tests/run installs it")

GATEWAY = "truck-17"
MB = 42_000
"""Frames in a megabyte of the spool, if they are not compressed."""


class Gateway:
    """Forwarders of one gateway, each with a new daemon. Its only bus has numbered frames."""

    def __init__(self, url: str, spool: Path) -> None:
        self._url = url
        self._spool = spool
        self.sent = 0
        self._report: ForwarderReport | None = None

    def life(
        self, frames: int, spool_mb: int, until: Callable[[ForwarderReport], bool], then: Callable[[], object]
    ) -> None:
        """Start a forwarder that gets these frames, call `then` when its report fulfils `until`, and end it without lag."""
        settings = ForwardSettings(url=(self._url,), spool_mb=spool_mb, compress="never", ram_s=1)
        self._report = None

        def take(message: Message) -> None:
            if isinstance(message, ForwarderReport):
                self._report = message

        async def live() -> None:
            forwarder = Forwarder(settings, GATEWAY, str(self._spool), take)
            worker, stream = socket.socketpair()
            forwarder.add_feed(NewFeed("a", 1, None), stream)
            running = asyncio.create_task(forwarder.run())
            with worker:
                await asyncio.to_thread(worker.sendall, self._numbered(frames))
                await asyncio.to_thread(poll, lambda: self._report is not None and until(self._report), 60)
            await asyncio.to_thread(then)
            forwarder.request_end()
            await running

        asyncio.run(live())

    def _numbered(self, frames: int) -> bytes:
        numbers = range(self.sent, self.sent + frames)
        self.sent += frames
        packets = b"".join(
            packet(1_000_000 + number, ARBITRATION_ID, 0, number.to_bytes(8)) for number in numbers
        )
        return feed_mark(0, len(packets), frames) + packets

    def has_sent(self) -> None:
        poll(lambda: self._report is not None and not self._report.buses[0].lag_frames, 60)


def has_all(frames: int) -> Callable[[ForwarderReport], bool]:
    """Return whether so many frames wait or were dropped, and the spool is within its limit."""
    return lambda report: (
        bool(report.buses)
        and report.buses[0].lag_frames + report.buses[0].spool == frames
        and report.spool_bytes <= report.spool_limit_bytes
    )


@pytest.mark.parametrize("latest", [100, 2 * MB], ids=["a part is left", "nothing of the first is left"])
def test_frames_of_an_earlier_start_that_the_spool_dropped_are_lost_there(
    latest: int, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "hub").start()
    gateway, hub = Gateway(server.url, tmp_path / "spool"), Hub(server.url, GATEWAY)
    hub.make_stream()
    gateway.life(10, 8, lambda report: bool(report.buses) and report.buses[0].forwarded == 10, server.kill)
    earlier = int(2.5 * MB)
    gateway.life(earlier, 8, has_all(earlier), lambda: None)

    def hub_is_back() -> None:
        server.start()
        gateway.has_sent()

    gateway.life(latest, 1, has_all(earlier + latest), lambda: None)
    # Another start, which knows of what the one before has dropped.
    gateway.life(100, 1, lambda report: bool(report.buses) and report.buses[0].lag_frames > 0, hub_is_back)
    account = Account()
    for message in hub.messages():
        assert account.take(headers.parse(message.headers))
    found = hub.accounts()["a"].numbers
    server.kill()
    assert all(a < b for a, b in itertools.pairwise(found))
    assert found[-1] == gateway.sent - 1
    missing = gateway.sent - len(found)
    assert missing > MB
    assert (account.lost.by_header, account.lost.retention) == (headers.Losses(spool=missing), 0)
