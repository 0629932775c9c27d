"""The least that a Python program can do for a frame: `relay -c TERMINAL -p PORT`; see `gateways`."""

from __future__ import annotations

import os
import select
import socket
import sys


def main(terminal: str, port: int) -> None:
    descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    listener = socket.create_server(("127.0.0.1", port), backlog=100)
    os.write(descriptor, b"O\r")
    clients: list[socket.socket] = []
    events = select.poll()
    events.register(descriptor, select.POLLIN)
    events.register(listener, select.POLLIN)
    while True:
        for ready, _ in events.poll():
            if ready == listener.fileno():
                clients.append(listener.accept()[0])
                continue
            data = os.read(descriptor, 1 << 14)
            for client in clients:
                client.send(data)


if __name__ == "__main__":
    try:
        main(sys.argv[2], int(sys.argv[4]))
    except (KeyboardInterrupt, OSError):
        os._exit(0)
