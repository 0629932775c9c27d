"""Clients that cost next to nothing: `napping_viewer PORT…` connects to each port, and reads four times a second.

Prints `connected` first and, after a line of input, the bytes that each has received, as JSON. A gateway writes into the
kernel's buffers meanwhile, as it does for any client.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys

_NAP_S = 0.25


def main(ports: list[int]) -> None:
    clients = [socket.create_connection(("127.0.0.1", port)) for port in ports]
    sizes = [0] * len(clients)
    print("connected", flush=True)
    asked, more = False, True
    while more or not asked:
        asked = bool(select.select([] if asked else [sys.stdin], [], [], _NAP_S)[0]) or asked
        before = sum(sizes)
        for number, client in enumerate(clients):
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while data := client.recv(1 << 18):
                    sizes[number] += len(data)
        more = sum(sizes) > before
    print(json.dumps(sizes), flush=True)


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])
