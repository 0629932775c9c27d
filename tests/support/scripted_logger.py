"""A logger that sends each client a script of bytes, as foreign and broken ones do."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class ScriptedLogger:
    """Sends the first of `scripts` to the first client, and so on, and keeps their connections open.

    Clients after the last script get it again.
    """

    def __init__(self, *scripts: bytes) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.clients: list[socket.socket] = []
        self.served = 0
        """Clients whose script has been sent."""
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.clients.append(client)
                client.sendall(self._scripts[min(len(self.clients), len(self._scripts)) - 1])
                self.served += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop_listening(self) -> None:
        """Refuse further clients."""
        with contextlib.suppress(OSError):  # the second time
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def __exit__(self, *_: object) -> None:
        self.stop_listening()
        for client in self.clients:
            client.close()
