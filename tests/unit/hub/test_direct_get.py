"""Messages read by DIRECT.GET: whatever happens is a failure of the hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from cancorderd.hub.access import HubAccess
from cancorderd.hub.connection import HubConnection, _Client
from cancorderd.hub.direct_get import read_batch
from cancorderd.hub.failures import ConnectionLost
from cancorderd.hub.login import Login

if TYPE_CHECKING:
    from cancorderd.hub.transport import OpenTransport

SERVER = HubAccess(("nats://hub.example.net",)).servers()[0]


def test_connection_that_ended_before_a_request_is_lost() -> None:
    """A viewer whose clients take nothing asks for nothing, for as long as they like."""

    async def live() -> None:
        transport = cast("OpenTransport", object())
        client: Any = _Client(transport)
        connection = HubConnection(client, transport, SERVER, Login())
        client._status = client.CLOSED
        await connection.on_closed()
        with pytest.raises(ConnectionLost, match="the server closed it"):
            await read_batch(connection, "CAN_truck", "can.truck.body", sequence=1)

    asyncio.run(live())
