"""Publishes with answers to an inbox of our own, many at a time: a refused `publish_async` of nats-py never completes.

They bypass nats-py, whose queues and tasks would cost more than the rest of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cancorderd.hub.answer_sieve import SID, AnswerSieve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cancorderd.hub.answer_sieve import Answer
    from cancorderd.hub.connection import HubConnection


class Answers:
    """Publishes on one connection. `on_answers` receives the answers that have arrived together."""

    def __init__(self, connection: HubConnection, on_answers: Callable[[list[Answer]], None]) -> None:
        self._connection = connection
        self._on_answers = on_answers
        self._inbox = connection.client.new_inbox()
        self._sieve = AnswerSieve()
        self._unsent: list[bytes] = []
        connection.filter_arrivals(self._take)
        connection.write(f"SUB {self._inbox}.* {SID}\r\n".encode())

    @property
    def open(self) -> bool:
        return self._connection.open

    def publish(self, target: str, body: bytes, number: int, headers: Mapping[str, str]) -> None:
        """Publish with the next call of `send`. The answer has this number."""
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        block = f"NATS/1.0\r\n{lines}\r\n".encode()
        command = f"HPUB {target} {self._inbox}.{number} {len(block)} {len(block) + len(body)}\r\n"
        self._unsent += (command.encode(), block, body, b"\r\n")

    def send(self) -> None:
        """Write all publishes since the last call at once."""
        if self._unsent:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._connection.write(data)

    def _take(self, data: bytes) -> bytes:
        """Remove the answers from the bytes that the server sends."""
        answers, others = self._sieve.sift(data)
        if answers:
            self._on_answers(answers)
        return others
