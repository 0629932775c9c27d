"""Errors of a client. The text of each is the place, the fact and the remedy."""

from __future__ import annotations

from cancorderd.protocol.packets import WireError


class ConnectFailed(ConnectionError):
    """There is no answer at the address, or no logger has the name."""


class StreamEnded(ConnectionError):
    """The server ended the stream after a whole packet: it is stopping, or had to restart the bus by force."""


class StreamCut(ConnectionError):
    """The stream ended within a packet, or the connection broke: frames may be lost."""


class BordersLost(WireError):
    """A stream that had frames has an impossible length byte: a new connection begins at a border again."""


class DiscoveryFailed(OSError):
    """There is no network to search for loggers."""
