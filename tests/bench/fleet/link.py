"""A connection to a hub that costs little: it publishes ready texts and yields the bodies of the answers to its inbox."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from cancorderd.hub.access import inbox_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 18
_OPEN_WITHIN_S = 30.0


class Link:
    """A connection that is logged in."""

    def __init__(self, port: int, user: str = "", password_file: str = "", ca: str = "") -> None:
        """Connect to the hub on the loopback: with TLS from the first byte if there is a `ca`."""
        raw = socket.create_connection(("127.0.0.1", port), _OPEN_WITHIN_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket: socket.socket = raw
        if ca:
            self._socket = ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname="127.0.0.1")
        self.inbox = f"{inbox_prefix(user or None)}.{secrets.token_hex(8)}"
        self._out = bytearray()
        self._in = b""
        login = {"user": user, "pass": Path(password_file).read_text().strip()} if user else {}
        options = {"verbose": False, "pedantic": False, "lang": "bench", "version": "1", "protocol": 1}
        connect = json.dumps({**options, "headers": True, "no_responders": True, **login})
        self._socket.sendall(f"CONNECT {connect}\r\nSUB {self.inbox}.* 1\r\nPING\r\n".encode())
        while b"PONG\r\n" not in self._in:
            data = self._socket.recv(_PIECE)
            if not data or b"-ERR" in self._in:
                raise SystemExit(f"the hub refuses a connection: {self._in!r}")
            self._in += data
        self._in = self._in.partition(b"PONG\r\n")[2]
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def waits(self) -> bool:
        """Whether something has not been written yet."""
        return bool(self._out)

    def put(self, text: bytes) -> None:
        """Queue a text for `write`."""
        self._out += text

    def write(self) -> bool:
        """Send as much as the socket takes; return whether nothing is left."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            while self._out:
                del self._out[: self._socket.send(self._out[:_PIECE])]
        return not self._out

    def answers(self) -> Iterator[str]:
        """Yield the bodies of the messages that have come. The server's pings are answered."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while data := self._socket.recv(_PIECE):
                self._in += data
            raise SystemExit(f"the hub has closed a connection: {self._in!r}")
        at = 0
        while (end := self._in.find(b"\r\n", at)) >= 0:
            words = self._in[at:end].split()
            if words[0] not in (b"MSG", b"HMSG"):
                self._take_word(words)
                at = end + 2
                continue
            behind = end + 2 + int(words[-1]) + 2
            if behind > len(self._in):
                break
            yield self._in[end + 2 : behind - 2].decode()
            at = behind
        self._in = self._in[at:]

    def _take_word(self, words: list[bytes]) -> None:
        if words[0] == b"PING":
            self.put(b"PONG\r\n")
        elif words[0] not in (b"PONG", b"INFO", b"+OK"):
            raise SystemExit(f"the hub says {b' '.join(words)!r}")
