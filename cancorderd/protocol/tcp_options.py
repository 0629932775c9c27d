"""TCP keepalive, the same at both ends: a stream of frames can be silent for hours."""

from __future__ import annotations

import socket

_IDLE_S = 15
_EVERY_S = 5
_PROBES = 3
_MACOS_KEEPALIVE = 0x10


def keep_alive(sock: socket.socket) -> None:
    """Let the system probe a silent peer. If the peer is gone, the connection breaks after half a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", _MACOS_KEEPALIVE)
    sock.setsockopt(socket.IPPROTO_TCP, idle, _IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _EVERY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
