"""One worker process: started by command, signalled, listened to over its link.

Decides nothing: what to do when it speaks or ends, `bus` asks `machine`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Protocol

from cancorderd import link

if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable

    from cancorderd.link import Received
    from cancorderd.report import Client, Settings

_PRIVATE_ENVIRONMENT = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
"""Between the supervisor and its service manager; a worker that had them could answer in its place."""


class HeldClient:
    """A client's connection while no worker has it."""

    def __init__(self, client: Client, sock: socket.socket, owed: bytes) -> None:
        self.client = client
        self.socket = sock
        self.owed = owed

    def close(self) -> None:
        self.socket.close()


class Ear(Protocol):
    """Hears all that a bus sends to its clients, without being one (`report.Client.tap`)."""

    def open(self) -> socket.socket:
        """A new stream: the end that goes to the worker."""

    def take(self, owed: bytes) -> None:
        """The rest of the stream, which no worker sends any more."""


class WorkerProcess:
    """A running worker. `on_message` gets what it says, `on_exit` its exit status, once, after the last message."""

    def __init__(self, on_message: Callable[[Received], None], on_exit: Callable[[int], None]) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._link: link.Link | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._pending_signal: signal.Signals | None = None
        self.heard_s = time.monotonic()
        """When it last said something; seconds on the monotonic clock."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(
        self, bus: str, settings: Settings, listeners: list[socket.socket], held: list[HeldClient]
    ) -> None:
        """Start it, with copies of the clients' sockets."""
        self._link, theirs = link.pair()
        self._link.send(settings, descriptors=[one.fileno() for one in listeners])
        for one in held:
            self._link.send(one.client, one.owed, [one.socket.fileno()])
        self._task = asyncio.create_task(self._live(bus, theirs), name=f"worker {bus}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that is not started yet gets it when it is."""
        if self._process is None:
            self._pending_signal = number
        else:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ended(self) -> None:
        """Wait until it is gone."""
        if self._task:
            await asyncio.wait([self._task])

    async def _live(self, bus: str, theirs: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        assert self._link is not None  # noqa: S101 - set by `start`
        descriptor = self._link.fileno()
        environment = {key: value for key, value in os.environ.items() if key not in _PRIVATE_ENVIRONMENT}
        status = 1
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "cancorderd.worker", bus, "--link", str(theirs.fileno()),
                    pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, env=environment,
                    process_group=0,  # what a terminal sends (Ctrl+C, Ctrl+Z) is the supervisor's business
                )  # fmt: skip
            if self._pending_signal:
                self.signal(self._pending_signal)
            loop.add_reader(descriptor, self._read)
            self._flush()
            status = await self._process.wait()
        finally:
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            self._read_the_rest()
            self._link.close()
            self._on_exit(status)

    def _read(self) -> None:
        assert self._link is not None  # noqa: S101 - set by `start`
        try:
            for received in self._link.receive():
                self.heard_s = time.monotonic()
                self._on_message(received)
        except link.LinkClosed:
            asyncio.get_running_loop().remove_reader(self._link.fileno())

    def _read_the_rest(self) -> None:
        """What it said before it ended, such as the clients that it gave back."""
        assert self._link is not None  # noqa: S101 - set by `start`
        with contextlib.suppress(link.LinkClosed):
            while True:
                for received in self._link.receive():
                    self._on_message(received)

    def _flush(self) -> None:
        """Send on what the link did not take at once: owed bytes can be megabytes."""
        assert self._link is not None  # noqa: S101 - set by `start`
        loop = asyncio.get_running_loop()
        with contextlib.suppress(link.LinkClosed):
            self._link.flush()
        if self._link.backlog:
            loop.add_writer(self._link.fileno(), self._flush)
        else:
            loop.remove_writer(self._link.fileno())
