"""A client that connects again whenever its stream ends, and judges the numbered frames of all its streams."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from cancorderd.client.stream_judge import Judge, Tally
from cancorderd.protocol.packets import PacketDecoder

if TYPE_CHECKING:
    from cancorderd.client.stream_judge import Judgement


class Viewer:
    """Client of a bus during the `with` block."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.connections = 0
        self.cut = 0
        """Streams that ended within a packet."""
        self.errors: list[str] = []
        """Damage of a stream: packets that cannot be right."""
        self.last = -1
        """Number of the last frame, -1 before the first."""
        self.last_arrival_s = 0.0
        """On the monotonic clock."""
        self._address = host, port
        self._judge = Judge()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def judgement(self) -> Judgement:
        with self._lock:
            return self._judge.judgement()

    @property
    def tally(self) -> Tally:
        return self.judgement.tally

    @property
    def received(self) -> int:
        """Frames, each counted once."""
        tally = self.tally
        return tally.received - tally.duplicated - tally.reordered

    def mistakes(self) -> list[str]:
        """Return the faults of the streams, apart from missing frames."""
        judgement = self.judgement
        tally = judgement.tally
        counts = {
            "duplicated": tally.duplicated, "out of order": tally.reordered, "corrupt": judgement.corrupt,
        }  # fmt: skip
        return [f"{count} frames {fault}" for fault, count in counts.items() if count] + self.errors

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._socket = socket.create_connection(self._address, 5)
            except OSError:
                self._ends.wait(0.01)
                continue
            self._socket.settimeout(None)
            self.connections += 1
            self._read(self._socket)

    def _read(self, sock: socket.socket) -> None:
        decoder = PacketDecoder()
        try:
            while data := sock.recv(1 << 18):
                decoder.receive(data)
                now_s = time.monotonic()
                with self._lock:
                    for frame in decoder.frames():
                        self._judge.observe(frame)
                        self.last = int.from_bytes(frame.data[:8])
                self.last_arrival_s = now_s
        except OSError:
            pass  # reset: the worker was killed
        except ValueError as error:
            self.errors.append(str(error))
        self.cut += decoder.pending > 0
        with contextlib.suppress(OSError):
            sock.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        while self._thread.is_alive():
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(0.05)
