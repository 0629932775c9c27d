"""Limits of clients on a running daemon: what a client may cost, and whom a lower limit disconnects."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import Client, Daemon, busy_limit_s, poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

MIB = 1 << 20
BUS = '[bus.a]\ninterface = "mock"\nstart = "always"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path, BUS) as daemon:
        yield daemon


class Flood:
    """A client that sends as fast as its connection takes it, while the context is active."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.sent = 0
        """Bytes that the daemon has taken."""

    def _send(self) -> None:
        piece = bytes(1 << 16)
        while not self._ended.is_set():
            try:
                self.sent += self._socket.send(piece)
            except BlockingIOError:
                self._ended.wait(0.001)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


def test_client_that_floods_is_hardly_read_and_others_are_served(daemon: Daemon) -> None:
    port = daemon.wait_port("a")
    with Client(port) as client, Flood(port) as flood:
        client.wait_frames(1)
        begin_s = client.arrivals_s[-1]
        poll(lambda: client.arrivals_s[-1] - begin_s > 3, what="three seconds of frames")
        seconds = client.arrivals_s[-1] - begin_s
        assert flood.sent < (16 + seconds) * MIB, "16 reads of 64 KiB a second, and the buffers of the kernel"
        assert len(daemon.bus("a")["clients"]) == 2
    poll(lambda: not daemon.bus("a")["clients"], busy_limit_s(5), "both have left")


def test_lowered_limit_disconnects_the_youngest_and_the_others_go_on(daemon: Daemon) -> None:
    port = daemon.wait_port("a")
    with contextlib.ExitStack() as stack:
        clients: list[Client] = []
        for _ in range(4):
            clients.append(stack.enter_context(Client(port)))
            poll(lambda: len(daemon.bus("a")["clients"]) == len(clients), what="connected")
        daemon.write(BUS + "max_clients = 2\n")
        assert daemon.ctl("reload").returncode == 0
        poll(lambda: [client.ended for client in clients] == [False, False, True, True], what="two are left")
        for client in clients[:2]:
            client.wait_more()
        daemon.wait_log("left: max_clients is 2")
        # Loopback never counts.
        daemon.write(BUS + "max_clients_per_host = 1\n")
        assert daemon.ctl("reload").returncode == 0
        for client in clients[:2]:
            client.wait_more()
