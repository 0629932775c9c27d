"""A client of a bus of frames with 8 bytes: `client PORT COUNT`.

Prints `connected`. With a COUNT, it counts so many frames as fast as they come. Otherwise it reads until the input line `go`, and
notes the delay of each frame, from its time stamp to its arrival. Then it prints JSON: frames, seconds between the first and
the last one, gaps between their numbers, and quantiles of the delays.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import struct
import sys
import time

from cancorderd.protocol.packets import HEADER

_PACKET = struct.Struct(f"{HEADER.format}Q")
_READ_S = 30.0
"""Time without a frame after which it gives up."""


class Reader:
    """Frames from a connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(_READ_S)
        self.size = 0
        self.first_s = self.last_s = 0.0
        self.delays_us: list[int] = []
        self.gaps = 0
        self._rest = b""
        self._next: int | None = None

    def read(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit("the gateway has closed the connection")
        self.size += len(data)
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        return data

    def note(self, data: bytes) -> None:
        """Note delays and numbers of frames."""
        now_us = time.time_ns() // 1000
        text = self._rest + data
        whole = len(text) - len(text) % _PACKET.size
        self._rest = text[whole:]
        for stamp_us, _, _, _, number in _PACKET.iter_unpack(text[:whole]):
            self.gaps += self._next not in (None, number)
            self._next = number + 1
            self.delays_us.append(now_us - stamp_us)

    def result(self) -> dict[str, object]:
        quantiles = statistics.quantiles(self.delays_us, n=1000) if len(self.delays_us) > 1 else []
        return {
            "frames": self.size // _PACKET.size,
            "seconds": self.last_s - self.first_s,
            "gaps": self.gaps,
            "median_us": quantiles[499] if quantiles else 0,
            "p99_us": quantiles[989] if quantiles else 0,
            "most_us": max(self.delays_us, default=0),
        }


def main(port: int, count: int) -> None:
    reader = Reader(port)
    print("connected", flush=True)
    if count:
        while reader.size < count * _PACKET.size:
            reader.read()
    else:
        while sys.stdin not in select.select([reader.socket, sys.stdin], [], [])[0]:
            reader.note(reader.read())
    print(json.dumps(reader.result()), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
