"""A request to the control socket and its answer, in HTTP/1.0: each request has a connection, whose end is that of the answer.

http.client would do the same, and imports email and ssl, which take longer than everything else that `status` does.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, cast

from cancorderd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_LONGEST_LINE = 1 << 16
_MOST_HEADERS = 100


class Answer:
    """The head of an answer, and its body as far as it has arrived."""

    def __init__(self, sock: socket.socket, *, raw: bool) -> None:
        """Read the head; with `raw`, nothing behind it. Raises OSError, and ValueError if it is no answer."""
        self._socket = sock
        self._file = cast("BinaryIO", sock.makefile("rb", buffering=0 if raw else -1))
        self.headers: dict[str, str] = {}
        """By lower-case name."""
        try:
            self.status = _status(self._line())
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """Return the body. Raises OSError, and ValueError if it is cut."""
        length = self.headers.get("content-length")
        if length is None:
            return self._file.read()
        body = self._file.read(int(length))
        if len(body) < int(length):
            raise ValueError(f"the answer ends after {len(body)} of {length} bytes")
        return body

    def lines(self) -> Iterator[bytes]:
        """Yield each line of the body when it arrives."""
        return iter(self._file)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._file.close()

    def _read_headers(self) -> None:
        while line := self._line():
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
            if len(self.headers) > _MOST_HEADERS:
                raise ValueError(f"the answer has more than {_MOST_HEADERS} headers")

    def _line(self) -> str:
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise ValueError("the connection was closed without an answer")
        return line.decode("latin-1").rstrip("\r\n")


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    number = rest[:3]
    if not version.startswith("HTTP/1.") or not (number.isascii() and number.isdecimal()):
        raise ValueError(f"the answer begins with {printable(repr(line), 60)}, and is not HTTP")
    return int(number)


def connected(path: str, timeout_s: float | None) -> socket.socket:
    """Return a connection to a Unix socket. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def send_request(sock: socket.socket, method: str, path: str) -> None:
    """Send a request without a body. A daemon that has too many connections answers it, and may not read it first."""
    text = f"{method} {_quoted(path)} HTTP/1.0\r\nHost: cancorder\r\nContent-Length: 0\r\n\r\n"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(text.encode("ascii"))


def _quoted(path: str) -> str:
    """Return a path in which every byte may stand in a request line: a user may have typed any name of a bus."""
    path_bytes = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 0x21 <= byte < 0x7F else f"%{byte:02X}" for byte in path_bytes)
