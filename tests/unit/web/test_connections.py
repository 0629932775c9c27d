"""Connections of browsers: slow ones are ended, too many are refused, foreign networks get no answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from cancorderd.web.access import Networks
from cancorderd.web.connections import Connections, listening_socket
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK_S = 0.2
"""A limit that a test waits for; nothing is asserted about when it acts."""


@asynccontextmanager
async def served(allow: tuple[str, ...] = (), **limits: Any) -> AsyncIterator[int]:
    """Serve an answer, and for /stream bytes without an end; yields the port."""
    connections = Connections(Networks(allow), None, **limits)

    async def answer(request: web.Request) -> web.StreamResponse:
        connections.request_begins(request.transport)
        try:
            if request.path != "/stream":
                return web.Response(text="hello")
            connections.unlimited(request.transport)
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                for _ in range(5):
                    await response.write(b"x")
                    await asyncio.sleep(QUICK_S)
            return response
        finally:
            connections.request_ends(request.transport)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server
    sock = listening_socket("127.0.0.1", 0)
    connections.listen(sock, runner.server)
    try:
        yield sock.getsockname()[1]
    finally:
        await connections.stop()
        await runner.cleanup()


async def conversation(port: int, *parts: bytes) -> bytes:
    """Send these parts, and return all that arrives until the other end closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            while piece := await reader.read(1 << 16):
                found += piece
    writer.close()
    return found


def run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]


@pytest.mark.parametrize("parts", [[], [b"GET / HT"], [REQUEST[:-2], b"X: y\r\n"]])
def test_request_without_an_end_is_ended(parts: list[bytes]) -> None:
    async def check() -> None:
        async with served(head_within_s=QUICK_S) as port:
            assert await conversation(port, *parts) == b""

    run(check)


def test_connection_that_is_idle_after_an_answer_is_ended() -> None:
    async def check() -> None:
        async with served(head_within_s=QUICK_S) as port:
            assert (await conversation(port, REQUEST)).endswith(b"hello")

    run(check)


def test_stream_may_last_longer_than_an_answer() -> None:
    async def check() -> None:
        async with served(head_within_s=QUICK_S, answer_within_s=QUICK_S) as port:
            found = await conversation(port, REQUEST.replace(b" / ", b" /stream "))
        assert found.count(b"1\r\nx\r\n") == 5

    run(check)


def test_further_connections_of_a_neighbour_are_closed_until_one_ends() -> None:
    async def check() -> None:
        async with served(most_per_neighbour=2, head_within_s=PATIENCE_S) as port:
            first = await asyncio.open_connection("127.0.0.1", port)
            second = await asyncio.open_connection("127.0.0.1", port)
            for reader, writer in (first, second):
                writer.write(REQUEST)
                assert b"200" in await reader.readline()
            assert await conversation(port, REQUEST) == b""
            first[1].close()
            last = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                while not await conversation(port, last):
                    pass
            second[1].close()

    run(check)


def test_other_networks_get_no_answer() -> None:
    async def check() -> None:
        async with served(allow=("10.0.0.0/8",)) as port:
            assert await conversation(port, REQUEST) == b""
        async with served(allow=("127.0.0.0/8",), head_within_s=QUICK_S) as port:
            assert b"hello" in await conversation(port, REQUEST)

    run(check)


def test_addresses_of_both_versions() -> None:
    with listening_socket("127.0.0.1", 0) as four:
        assert four.family == socket.AF_INET
        with pytest.raises(OSError, match="in use"):
            listening_socket("127.0.0.1", four.getsockname()[1])
