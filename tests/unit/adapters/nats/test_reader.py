"""The reader's attempts to connect: soon after a connection that served, later while all of them fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cancorderd.adapters.nats.moments import span_of
from cancorderd.adapters.nats.reader import HubReader
from cancorderd.hub.access import HubAccess
from cancorderd.hub.failures import ConnectionLost, HubError, Unreachable

if TYPE_CHECKING:
    from cancorderd.adapters.nats.reader import Item


class Silent:
    """A receiver that wants nothing."""

    def __init__(self) -> None:
        self.failures: list[HubError] = []

    async def put(self, items: list[Item], pending: int) -> None: ...
    def at_end(self) -> None: ...
    def connected(self, server: str) -> None: ...
    def disconnected(self, failure: HubError) -> None:
        self.failures.append(failure)

    def notice(self, level: str, text: str) -> None: ...


class FailingReader(HubReader):
    """A reader of which each connection fails; those in `good` served before."""

    good: tuple[int, ...] = ()
    tried = 0

    async def _serve(self) -> None:
        self.tried += 1
        if self.tried in self.good:
            self._served = True
            raise ConnectionLost("the connection ended")
        raise Unreachable("no server listens there")


def test_attempts_are_frequent_again_after_a_connection_that_served(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 8:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", wait)
    receiver = Silent()
    failing = FailingReader(
        HubAccess(("nats://127.0.0.1:1",)), "truck", "body", span_of("now"), receiver=receiver
    )
    failing.good = (6,)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(failing.run())
    assert waited == [0.25, 0.5, 1.0, 2.0, 2.0, 0.25, 0.5, 1.0]
    assert [type(failure) for failure in receiver.failures] == [
        *[Unreachable] * 5,
        ConnectionLost,
        *[Unreachable] * 2,
    ]
