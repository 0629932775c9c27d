"""Receive the frames of a bus from cancorderd or any other ECUconnect Logger.

>>> from cancorderd import client
>>> for logger in client.discover():
...     print(logger.name, logger.addresses, logger.port, logger.text["bus"])
>>> with client.connect("192.168.1.20", 42420) as connection:
...     for frame in connection:
...         print(frame.timestamp_s, hex(frame.arbitration_id), frame.data.hex())

A client only receives: the protocol cannot send frames. Every error is an `OSError`, except `WireError` (the
server does not speak this protocol; as its subclass `BordersLost`: the stream is damaged, connect again) and
`ValueError` (an argument is not written as it has to be). The text of an error includes the remedy. All calls
block; with asyncio, use `asyncio.to_thread`, or watch `Connection.fileno()` and call `receive_available()`.
"""

from cancorderd.client.address import connect_to
from cancorderd.client.connection import Connection, connect
from cancorderd.client.discovery import Browser, Change, Logger, browse, discover
from cancorderd.client.errors import BordersLost, ConnectFailed, DiscoveryFailed, StreamCut, StreamEnded
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import WireError

__all__ = [
    "BordersLost",
    "Browser",
    "Change",
    "ConnectFailed",
    "Connection",
    "DiscoveryFailed",
    "Frame",
    "Logger",
    "StreamCut",
    "StreamEnded",
    "WireError",
    "browse",
    "connect",
    "connect_to",
    "discover",
]
