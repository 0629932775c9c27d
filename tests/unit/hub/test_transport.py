"""Why no TCP connection comes about, and the bytes of one that does."""

from __future__ import annotations

import asyncio
import errno

import pytest

from cancorderd.hub.access import HubAccess
from cancorderd.hub.transport import _unreachable, open_transport
from tests.support.harness import PATIENCE_S

GREETING = b'INFO {"max_payload":1048576}\r\n'


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 4222)"), "cannot be reached (No route to host)."),
        (OSError("Multiple exceptions: a, b"), "cannot be reached (Multiple exceptions: a, b)."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "no server listens there."),
    ],
)  # fmt: skip
def test_fact_is_that_of_the_system(error: OSError, sentence: str) -> None:
    assert _unreachable(error).startswith(f"{sentence} ")


def test_more_than_one_read_arrives_whole() -> None:
    sent = bytes(range(251)) * 4000
    arrived = bytearray()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await asyncio.sleep(0)
        writer.write(sent)
        await writer.drain()
        writer.close()

    def filtered(data: bytes) -> bytes:
        arrived.extend(data)
        return data[:10]

    async def live() -> tuple[bytes, bytes]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            access = HubAccess((f"nats://127.0.0.1:{port}",))
            transport = await open_transport(access.servers()[0], access)
            greeting = await transport.readline()
            before = await transport.read(1 << 20)
            transport.filter_arrivals(filtered)
            while await transport.read(1 << 20):
                pass
            transport.abort()
            return greeting, before

    greeting, before = asyncio.run(asyncio.wait_for(live(), PATIENCE_S))
    assert greeting == GREETING
    assert before + bytes(arrived) == sent
