"""What can go wrong for a client. `str()` of each is one sentence: the place, the fact, the remedy."""

from __future__ import annotations


class ConnectFailed(ConnectionError):
    """Nothing answers at the address, or no logger has the name."""


class StreamEnded(ConnectionError):
    """The server ended the stream behind a whole packet: it stops, or restarted the bus by force."""


class StreamCut(ConnectionError):
    """The stream ended within a packet, or the connection broke: frames may be lost."""


class DiscoveryFailed(OSError):
    """There is no network on which loggers could be looked for."""
