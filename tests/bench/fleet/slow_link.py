"""A slow uplink that can be cut: relays connections to a port, and passes so many bytes a second on to it.

Runs in threads of the measuring process, which reads the counts. The queue for the link is bounded as in a modem.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

_PIECE = 4096
_QUEUE_BYTES = 1 << 16


class SlowLink:
    """A relay on `port` of the loopback, until the `with` block ends."""

    def __init__(self, to_port: int, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self.passed: list[tuple[float, int]] = []
        """Bytes that have passed in all, after each piece; times are in seconds since the epoch."""
        self._to_port = to_port
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self._cut = False
        self._open: list[socket.socket] = []
        self._free_s = 0.0
        """Time at which the link has sent everything that was given to it, on the monotonic clock."""

    def cut(self) -> None:
        """End all connections, and refuse others."""
        self._cut = True
        self._close()

    def mend(self) -> None:
        self._cut = False

    def passed_until(self, moment_s: float) -> int:
        """Return the bytes that had passed at a time, in seconds since the epoch."""
        return next((size for time_s, size in reversed(self.passed) if time_s <= moment_s), 0)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close()

    def _close(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._open += [near, far]
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, slowly: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if slowly:
                    self._wait(len(data))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _wait(self, size: int) -> None:
        """Wait until so many bytes have passed."""
        now_s = time.monotonic()
        self._free_s = max(self._free_s, now_s) + size / self.bytes_per_s
        if (left_s := self._free_s - now_s) > 0:
            time.sleep(left_s)
        before = self.passed[-1][1] if self.passed else 0
        self.passed.append((time.time(), before + size))
