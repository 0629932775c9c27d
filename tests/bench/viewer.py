"""Clients with little overhead: `viewer PORT[,PORT…] CLIENTS LENGTH`, so many of each port, for frames of that length.

Prints `connected`, reads until the input line `go`, then until nothing comes for a moment. Then it prints, as JSON, the
number of frames of the slowest client and the delays of the first. Every packet has the same size here, so that
thousands can be unpacked at once.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import sys
import time

from cancorderd.protocol.packets import HEADER

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
_QUIET_S = 0.5
_FIRST_TIME_NS = 1 << 50
"""A payload above this is a time of sending, below it a number."""


class Connection:
    def __init__(self, port: int, packet: struct.Struct) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.size = 0
        self.first_s = self.last_s = 0.0
        self._packet = packet
        self._rest = b""
        self.jumps = 0
        self._expected = 0

    def read(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if data:
            self.size += len(data)
            self.last_s = time.monotonic()
            self.first_s = self.first_s or self.last_s
        return data

    def delays_us(self, data: bytes) -> list[int]:
        """Return the delay of each whole frame; those that are numbered are checked instead."""
        now_ns = time.time_ns()
        text = self._rest + data
        whole = len(text) - len(text) % self._packet.size
        self._rest = text[whole:]
        numbers = [fields[4] for fields in self._packet.iter_unpack(text[:whole])]
        if numbers and numbers[0] < _FIRST_TIME_NS:
            self.jumps += numbers != list(range(self._expected, self._expected + len(numbers)))
            self._expected = numbers[-1] + 1
            return []
        return [(now_ns - number) // 1000 for number in numbers]


def main(ports: list[int], clients: int, length: int) -> None:
    packet = struct.Struct(f"{HEADER.format}Q{length - 8}x")
    connections = [Connection(port, packet) for port in ports for _ in range(clients)]
    print("connected", flush=True)
    delays_us: list[int] = []
    watched = connections[0]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        patience_s: float | None = None
        while ready := selector.select(patience_s):
            for key, _ in ready:
                connection = key.data
                if connection is None:
                    sys.stdin.readline()
                    selector.unregister(sys.stdin)
                    patience_s = _QUIET_S
                elif not (data := connection.read()):
                    selector.unregister(connection.socket)
                elif connection is watched:
                    delays_us += connection.delays_us(data)
    slowest = min(connections, key=lambda connection: connection.size)
    delays_us.sort()
    print(
        json.dumps(
            {
                "received": slowest.size // packet.size,
                "jumps": watched.jumps,
                "seconds": watched.last_s - watched.first_s,
                "delays_us": [delays_us[int(len(delays_us) * q)] for q in QUANTILES] if delays_us else [],
            }
        )
    )


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1].split(",")], int(sys.argv[2]), int(sys.argv[3]))
