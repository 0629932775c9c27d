"""Many clients with little overhead, in a process of their own: `many_viewers LENGTH PORT=CLIENTS ...`.

Prints a line when all are connected. A line on the standard input, a JSON object, has the number of frames of each port: when
each client has the last of them, or no frame has come for a while, a JSON list with the account of each client is printed.
The connections stay until the standard input ends. All frames have LENGTH bytes and begin with their number, so that
thousands are unpacked at once.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

from cancorderd.protocol.packets import HEADER

_QUIET_S = 6.0
"""A client that has lost its last frames would wait for them for ever."""
_GATHER_S = 0.01
"""Pause between two rounds, so that a read returns many frames."""


class Viewer:
    """A connection and the numbers of its frames."""

    def __init__(self, port: int, length: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.port = port
        self.received = self.missing = self.disorder = 0
        self.first = self.expected = -1
        self._packet = struct.Struct(f">{HEADER.size}xQ{length - 8}x")
        self._rest = b""

    def read(self) -> bool:
        """Read what has arrived; return False at the end of the stream."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        self._rest += data
        whole = len(self._rest) - len(self._rest) % self._packet.size
        numbers = [number for (number,) in self._packet.iter_unpack(self._rest[:whole])]
        self._rest = self._rest[whole:]
        if numbers:
            self._check(numbers)
        return bool(data)

    def _check(self, numbers: list[int]) -> None:
        if self.first < 0:
            self.first = self.expected = numbers[0]
        self.received += len(numbers)
        if numbers == list(range(self.expected, self.expected + len(numbers))):
            self.expected += len(numbers)
            return
        for number in numbers:
            if number < self.expected or number > self.expected + (1 << 40):
                self.disorder += 1
                continue
            self.missing += number - self.expected
            self.expected = number + 1

    def account(self) -> dict[str, object]:
        host, port = self.socket.getsockname()
        return {
            "port": self.port, "address": f"{host}:{port}", "first": self.first, "received": self.received,
            "missing": self.missing, "disorder": self.disorder, "torn": len(self._rest),
        }  # fmt: skip


def main(length: int, ports: list[str]) -> None:
    viewers = {}
    for text in ports:
        port, _, clients = text.partition("=")
        for _ in range(int(clients)):
            viewer = Viewer(int(port), length)
            viewers[viewer.socket.fileno()] = viewer
    print("connected", flush=True)
    poller = select.poll()
    for descriptor in (sys.stdin.fileno(), *viewers):
        poller.register(descriptor, select.POLLIN)
    totals: dict[str, int] = {}
    last_s = time.monotonic()
    while not totals or (
        time.monotonic() < last_s + _QUIET_S
        and any(viewer.expected < totals[str(viewer.port)] for viewer in viewers.values())
    ):
        for descriptor, _ in poller.poll(200):
            if descriptor == sys.stdin.fileno():
                if not (line := sys.stdin.readline()):
                    return
                totals = json.loads(line)
                poller.unregister(descriptor)
                last_s = time.monotonic()
            elif viewers[descriptor].read():
                last_s = time.monotonic()
            else:
                poller.unregister(descriptor)
        time.sleep(_GATHER_S)
    print(json.dumps([viewer.account() for viewer in viewers.values()]), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
