"""Requests to JetStream that are repeated: a cluster without a leader answers none."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from cancorderd.hub import jetstream
from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import HubConnection
from cancorderd.hub.endings import no_answer
from cancorderd.hub.failures import NoAnswer

SERVER = HubAccess(("nats://hub.example.net",)).servers()[0]
_NEVER = 1_000
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
    """A connection whose hub answers some requests. `answers` has their numbers, and how many there must be before."""

    server = SERVER

    def __init__(self, answers: dict[int, int] | None = None) -> None:
        self._answers = answers or {}
        self._asked = asyncio.Condition()
        self.waits_s: list[float] = []

    async def request(self, subject: str, payload: bytes = b"", *, within_s: float) -> Answer:
        self.waits_s.append(within_s)
        enough = self._answers.get(len(self.waits_s), _NEVER)
        async with self._asked:
            self._asked.notify_all()
            try:
                async with asyncio.timeout(within_s):
                    await self._asked.wait_for(lambda: len(self.waits_s) >= enough)
            except TimeoutError as error:
                raise no_answer(SERVER, subject, within_s) from error
        return Answer(STREAM)

    @property
    def connection(self) -> HubConnection:
        return cast(HubConnection, self)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetstream, "_ASK_AGAIN_AFTER_S", (0.01, 0.02, 0.03))


def test_request_that_reads_is_repeated() -> None:
    hub = Hub({3: 3})
    assert asyncio.run(jetstream.stream_info(hub.connection, "CAN_a")).name == "CAN_a"
    assert hub.waits_s == pytest.approx([10.0, 9.99, 9.97])


def test_slow_link_may_answer_the_first_request_after_it_was_repeated() -> None:
    hub = Hub({1: 4})
    assert asyncio.run(jetstream.stream_info(hub.connection, "CAN_a")).name == "CAN_a"
    assert len(hub.waits_s) == 4


@pytest.mark.parametrize(
    ("within_s", "waits_s"),
    [(0.1, [0.1, 0.09, 0.07, 0.04]), (0.02, [0.02, 0.01]), (0.005, [0.005])],
)
def test_no_request_waits_for_longer_than_it_may(within_s: float, waits_s: list[float]) -> None:
    hub = Hub()
    with pytest.raises(NoAnswer, match=f"no answer to .*CAN_a within {within_s:g} s"):
        asyncio.run(jetstream.stream_info(hub.connection, "CAN_a", within_s=within_s))
    assert hub.waits_s == pytest.approx(waits_s)


def test_request_that_changes_something_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setattr(jetstream, "ANSWER_WITHIN_S", 0.1)
    with pytest.raises(NoAnswer):
        asyncio.run(jetstream.create_stream(hub.connection, CONFIG))
    assert hub.waits_s == [0.1]
