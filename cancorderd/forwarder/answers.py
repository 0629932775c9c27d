"""Publishing with answers to an inbox of our own, many at a time: a refused `publish_async` of nats-py never completes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nats.aio.msg import Msg

    from cancorderd.hub.connection import HubConnection


class Answers:
    """Publishes on one connection, whose answers go to `on_answer` with the number that each was given."""

    def __init__(self, connection: HubConnection) -> None:
        self._client = connection.client
        self._inbox = connection.client.new_inbox()

    @classmethod
    async def open(cls, connection: HubConnection, on_answer: OnAnswer) -> Answers:
        answers = cls(connection)

        async def take(message: Msg) -> None:
            number = message.subject.rpartition(".")[2]
            if number.isdigit():
                on_answer(int(number), message)

        await connection.client.subscribe(f"{answers._inbox}.*", cb=take)
        return answers

    def publish(self, target: str, body: bytes, number: int, head: dict[str, str]) -> Awaitable[None]:
        return self._client.publish(target, body, reply=f"{self._inbox}.{number}", headers=head)


class OnAnswer(Protocol):
    def __call__(self, before: int, message: Msg, /) -> None: ...
