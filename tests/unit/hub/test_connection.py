"""nats-py's client on a transport of ours: every end of a connection is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from cancorderd.hub.connection import _Client

if TYPE_CHECKING:
    from cancorderd.hub.transport import OpenTransport


class ClosedByServer:
    """Transport of a connection that the server has closed; it takes bytes, and fails as they are flushed."""

    aborted = False

    def writelines(self, lines: list[bytes]) -> None:
        pass

    async def drain(self) -> None:
        raise ConnectionResetError

    def abort(self) -> None:
        self.aborted = True


def test_end_by_the_server_while_bytes_wait_is_reported() -> None:
    """As "User Authentication Expired" with a PONG that waits: the server closes the connection at once."""
    transport, ends = ClosedByServer(), []

    async def live() -> None:
        client: Any = _Client(cast("OpenTransport", transport))
        ended = asyncio.Event()

        async def on_closed() -> None:
            ends.append(str(client.last_error))
            ended.set()

        client._status, client._current_server = client.CONNECTED, object()
        client._closed_cb, client._flush_queue = on_closed, asyncio.Queue()
        client._pending, client._pending_data_size = [b"PONG\r\n"], 6
        await client._process_err("'user authentication expired'")
        await asyncio.wait_for(ended.wait(), 10.0)

    asyncio.run(live())
    assert ends == ["nats: user authentication expired"]
    assert transport.aborted
