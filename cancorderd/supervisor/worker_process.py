"""The process of one bus, with the sockets that it gets and gives back.

Decides nothing: `bus_worker` receives messages and the exit status.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from cancorderd.ipc.forks import end_forks
from cancorderd.ipc.messages import BacklogShare, FeedChange, NewListeners
from cancorderd.python_command import python_command
from cancorderd.supervisor.child_process import ChildProcess, FirstMessage

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from cancorderd.ipc.channel import ReceivedMessage
    from cancorderd.ipc.messages import BusReport, ClientHandover, WorkerStart

log = logging.getLogger("cancorderd.bus")

COMMAND = python_command("cancorderd.worker")


class HeldClient(NamedTuple):
    """A client's connection while no worker serves it."""

    handover: ClientHandover
    socket: socket.socket
    unsent: bytes
    """The bytes that the last worker did not send any more."""

    @property
    def gone(self) -> bool:
        """Whether the client has closed or reset its connection."""
        try:
            self.socket.getpeername()
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Tap(Protocol):
    """Receiver of everything that a bus sends to its clients; it counts as no client (`ClientHandover.tap`)."""

    def open_stream(self) -> socket.socket:
        """Begin a new stream, and return its other end for the worker."""

    def append_rest(self, data: bytes) -> None:
        """Receive the rest of the stream, which no worker sends any more."""

    def report(self, report: BusReport) -> None:
        """Receive each report of the bus's worker."""


class Worker(Protocol):
    """Worker process, as `bus_worker` needs it."""

    last_message_s: float | None
    """Time of the latest message, in seconds on the monotonic clock; None before the first message."""

    @property
    def pid(self) -> int | None:
        """None until the process runs."""

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        """Spawn the process, with copies of the sockets.

        If this raises, no process runs, and nothing else follows; `not_started_reason` words the exception.
        """

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        """Let the process that runs accept clients on further sockets, too."""

    def read(self) -> None:
        """Read the messages that have arrived, without waiting."""

    def limit_backlogs(self, size: int) -> None:
        """Let the process that runs keep at most this number of bytes for all its clients together."""

    def add_reader(self, reader: HeldClient) -> None:
        """Let the process that runs serve a further reader of frames, whose socket is closed here."""

    def change_feed(self, sock: socket.socket | None) -> None:
        """Let the process that runs feed the forwarder on this socket, which is closed here; None ends it."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; without effect once the process has ended."""

    async def wait(self) -> None:
        """Return when the process has ended and `on_exit` has been called."""


NewWorker: TypeAlias = "Callable[[Callable[[ReceivedMessage], None], Callable[[int], None]], Worker]"
"""Maker of a worker, from its `on_message` and `on_exit`."""


class WorkerProcess(ChildProcess):
    """A worker as a real process."""

    def __init__(
        self,
        on_message: Callable[[ReceivedMessage], None],
        on_exit: Callable[[int], None],
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        super().__init__(on_message, on_exit)
        self._command = command
        self._bus = ""

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        self._bus = bus
        handovers = [FirstMessage(client.handover, client.unsent, [client.socket]) for client in clients]
        start = FirstMessage(first_message, sockets=listeners)
        self.spawn(bus, [*self._command, bus], [start, *handovers])

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        self._send(NewListeners(), listeners)

    def limit_backlogs(self, size: int) -> None:
        self.send(BacklogShare(size))

    def add_reader(self, reader: HeldClient) -> None:
        self.send(reader.handover, reader.socket, reader.unsent)

    def change_feed(self, sock: socket.socket | None) -> None:
        self.send(FeedChange(), sock)

    def _clean_up(self, pid: int, inode: int) -> None:
        if forks := end_forks(pid, inode):
            log.warning(
                "the driver had forked process %s, which held clients and port of the worker that has ended: it was "
                "ended, too",
                ", ".join(map(str, forks)), extra={"bus": self._bus},
            )  # fmt: skip
