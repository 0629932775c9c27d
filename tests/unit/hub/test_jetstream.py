"""Requests to JetStream that are repeated: a cluster without a leader answers none."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from cancorderd.hub import jetstream
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import HubConnection, no_answer
from cancorderd.hub.failures import NoAnswer

SERVER = HubAccess(("nats://hub.example.net",)).servers()[0]
CONFIG = {"name": "CAN_a", "subjects": ["can.a.*"]}
STREAM = {
    "created": "2026-11-27T10:00:00Z",
    "config": CONFIG,
    "state": {
        "messages": 1, "bytes": 100, "first_seq": 1, "last_seq": 1,
        "first_ts": "2026-11-27T10:00:00Z", "last_ts": "2026-11-27T10:00:00Z",
    },
}  # fmt: skip


class Answer:
    def __init__(self, content: dict[str, Any]) -> None:
        self.data = json.dumps(content).encode()


class Hub:
    """A connection whose hub leaves the first `silent` requests without an answer."""

    server = SERVER

    def __init__(self, silent: int) -> None:
        self._silent = silent
        self.waits_s: list[float] = []

    async def request(self, subject: str, payload: bytes = b"", *, within_s: float) -> Answer:
        self.waits_s.append(within_s)
        if len(self.waits_s) <= self._silent:
            raise no_answer(SERVER, subject, within_s)
        return Answer(STREAM)

    @property
    def connection(self) -> HubConnection:
        return cast(HubConnection, self)


def test_request_that_reads_is_repeated() -> None:
    hub = Hub(silent=2)
    assert asyncio.run(jetstream.stream_info(hub.connection, "CAN_a")).name == "CAN_a"
    assert hub.waits_s == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("within_s", "waits_s"), [(10.0, [1, 2, 3, 4]), (2.0, [1, 1]), (0.5, [0.5])])
def test_no_request_waits_for_longer_than_it_may(within_s: float, waits_s: list[float]) -> None:
    hub = Hub(silent=9)
    with pytest.raises(NoAnswer, match=f"no answer to .*CAN_a within {within_s:g} s"):
        asyncio.run(jetstream.stream_info(hub.connection, "CAN_a", within_s=within_s))
    assert hub.waits_s == waits_s


def test_request_that_changes_something_is_not_repeated() -> None:
    hub = Hub(silent=1)
    with pytest.raises(NoAnswer):
        asyncio.run(jetstream.create_stream(hub.connection, CONFIG))
    assert hub.waits_s == [10.0]
