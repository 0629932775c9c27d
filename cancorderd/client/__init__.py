"""Read the frames of a bus that cancorderd serves, or any other ECUconnect Logger.

>>> from cancorderd import client
>>> for logger in client.discover():
...     print(logger.name, logger.addresses, logger.port, logger.text["bus"])
>>> with client.connect("192.168.1.20", 42420) as connection:
...     for frame in connection:
...         print(frame.timestamp_s, hex(frame.arbitration_id), frame.data.hex())

A client only receives: the protocol has no way to send a frame. Every error here is an `OSError`, but for
`WireError` (what answered does not speak this protocol) and `ValueError` (a channel that cannot be read); each
is one sentence that a person can act on. All calls block; with asyncio, use `asyncio.to_thread`, or watch
`Connection.fileno()` and call `receive_available()`.
"""

from cancorderd.client.channel import connect_to
from cancorderd.client.connection import Connection, connect
from cancorderd.client.discovery import Browser, Change, Logger, browse, discover
from cancorderd.client.errors import ConnectFailed, DiscoveryFailed, StreamCut, StreamEnded
from cancorderd.errors import WireError
from cancorderd.frame import Frame

__all__ = [
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
