"""Fakes for the supervisor's shells: workers without processes, ports, a tap; and settings of mock buses."""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from cancorderd.adapters.mock_settings import MockSettings
from cancorderd.config.configuration import Configuration, DaemonSettings
from cancorderd.config.settings_json import rebuilt
from cancorderd.ipc.channel import ReceivedMessage
from cancorderd.ipc.messages import BusReport, ClientHandover, Counts, WorkerEnd
from cancorderd.supervisor.listeners import ListenerKeeper, PortUnavailable, Renewal
from tests.support.harness import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from cancorderd.ipc.messages import ClientReport, Message, WorkerStart
    from cancorderd.supervisor.bus import Bus
    from cancorderd.supervisor.listeners import ListenRequest
    from cancorderd.supervisor.worker_process import HeldClient

CAN_ERROR, REFUSED = 74, 78
"""Exit statuses of a worker."""


def in_event_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        asyncio.run(test(*arguments, **keywords))

    return run


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions are of any kind
            await asyncio.sleep(0.001)


def mock_settings(name: str = "body", **keys: Any) -> MockSettings:
    return rebuilt(MockSettings, {"name": name, "interface": "mock", **keys})


def configuration(folder: Path, *buses: MockSettings, **daemon: str | int) -> Configuration:
    """Return a configuration whose files are in `folder`."""
    keys = {"control_socket": f"{folder}/control.sock", "state_dir": str(folder / "state"), **daemon}
    return Configuration(daemon=rebuilt(DaemonSettings, keys), buses=buses)


class FakeWorker:
    """A worker without a process, run by the test."""

    def __init__(self, on_message: Callable[[ReceivedMessage], None], on_exit: Callable[[int], None]) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._exited = asyncio.Event()
        self.last_message_s: float | None = None
        self.arrived: list[Message] = []
        """Messages that have arrived, and that the supervisor reads when it is told to."""
        self.bus = ""
        self.first_message: WorkerStart | None = None
        self.listeners: list[socket.socket] = []
        self.clients: list[HeldClient] = []
        self.backlog_shares: list[int] = []
        self.readers: list[HeldClient] = []
        self.feeds: list[bool] = []
        """Changes of the feed: whether there is one."""
        self.signals: list[signal.Signals] = []

    @property
    def pid(self) -> int | None:
        return 4711

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        self.bus, self.first_message = bus, first_message
        self.listeners, self.clients = list(listeners), list(clients)

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        self.listeners += listeners

    def read(self) -> None:
        while self.arrived:
            self.send(self.arrived.pop(0))

    def limit_backlogs(self, size: int) -> None:
        self.backlog_shares.append(size)

    def add_reader(self, reader: HeldClient) -> None:
        self.readers.append(reader)

    def change_feed(self, sock: socket.socket | None) -> None:
        if sock:
            sock.close()
        self.feeds.append(sock is not None)

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)

    async def wait(self) -> None:
        await self._exited.wait()

    @property
    def ended(self) -> bool:
        return self._exited.is_set()

    def send(self, message: Message, payload: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        self.last_message_s = time.monotonic()
        self._on_message(ReceivedMessage(message, payload, list(descriptors)))

    def report(
        self,
        state: str = "running",
        reason: str = "",
        counts: Counts = Counts(),  # noqa: B008 - never changed
        details: dict[str, str] | None = None,
        *,
        proving: bool = False,
        counted_to_s: float | None = None,
        clients: Sequence[ClientReport] = (),
    ) -> None:
        self.send(
            BusReport(
                state,
                reason,
                None,
                counts,
                list(clients),
                details or {},
                proving=proving,
                counted_to_s=counted_to_s,
            )
        )

    def report_busy(self) -> None:
        """Report a bus that is open again and has 1,000 frames per second since, for a second."""
        self.report("waiting", "unplugged")
        now_s = time.monotonic()
        for second in (1, 0):
            counts = Counts(received=10_000 - 1000 * second)
            self.report(counts=counts, counted_to_s=now_s - second)

    def hand_over(self, client: socket.socket, unsent: bytes = b"", *, tap: bool = False) -> None:
        """Give a client back to the supervisor."""
        self.send(ClientHandover("10.0.0.7:40001", 0.0, 5, 0, 1, tap), unsent, [socket.dup(client.fileno())])

    def exit(self, status: int, reason: str = "") -> None:
        if reason:
            self.send(WorkerEnd(reason))
        self._on_exit(status)
        self._exited.set()


class ObedientWorker(FakeWorker):
    """A worker that runs at once, and ends at SIGTERM."""

    def start(
        self,
        bus: str,
        first_message: WorkerStart,
        listeners: Sequence[socket.socket],
        clients: Sequence[HeldClient],
    ) -> None:
        super().start(bus, first_message, listeners, clients)
        asyncio.get_running_loop().call_soon(self.report)

    def signal(self, number: signal.Signals) -> None:
        super().signal(number)
        asyncio.get_running_loop().call_soon(self.exit, 0)


class Workers:
    """Maker of workers, in place of `WorkerProcess`; remembers them."""

    def __init__(self, kind: type[FakeWorker] = FakeWorker) -> None:
        self._kind = kind
        self.made: list[FakeWorker] = []

    def __call__(
        self, on_message: Callable[[ReceivedMessage], None], on_exit: Callable[[int], None]
    ) -> FakeWorker:
        self.made.append(self._kind(on_message, on_exit))
        return self.made[-1]

    @property
    def last(self) -> FakeWorker:
        return self.made[-1]

    def of(self, bus: str) -> list[FakeWorker]:
        return [worker for worker in self.made if worker.bus == bus]


class FakePorts:
    """Ports for a bus: real sockets that nobody can connect to."""

    def __init__(self) -> None:
        self.unavailable = ""
        """Reason for which no port can be opened."""
        self.renewals: list[Renewal] = []
        """Next answers of `renew_port`; without one, nothing changes."""
        self.opened = 0
        self.open: list[socket.socket] = []

    def open_port(self, bus: Bus) -> tuple[int, list[socket.socket]]:
        if self.unavailable:
            raise PortUnavailable(self.unavailable)
        self.opened += 1
        self.open.append(socket.socket())
        return bus.settings.port or 42420, self.open[-1:]

    def renew_port(self, bus: Bus, sockets: list[socket.socket]) -> Renewal:
        renewal = self.renewals.pop(0) if self.renewals else Renewal(sockets, [], [])
        self.open += renewal.fresh
        return renewal

    def close_port(self, bus: Bus, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            sock.close()
            self.open.remove(sock)


class FakeKeeper(ListenerKeeper):
    """Listening sockets that are not bound; notes every call."""

    def __init__(self) -> None:
        self.requests: dict[str, ListenRequest] = {}
        self.inherited: dict[str, int] = {}
        self.calls: list[tuple[str, str, int | None]] = []
        self.unavailable: set[int] = set()

    def prepare(self, requests: Mapping[str, ListenRequest]) -> None:
        self.requests = dict(requests)

    def inherited_port(self, bus: str, addresses: Sequence[str]) -> int | None:
        return self.inherited.get(bus)

    def open(self, bus: str, addresses: Sequence[str], port: int) -> list[socket.socket]:
        if port in self.unavailable:
            raise PortUnavailable(f"port {port} is in use by nc (process 7).", owner="nc (process 7)")
        self.calls.append(("open", bus, port))
        return [socket.socket()]

    def adopt(self, bus: str, sockets: Sequence[socket.socket]) -> None:
        self.calls.append(("adopt", bus, sockets[0].getsockname()[1]))

    def close(self, bus: str, sockets: list[socket.socket]) -> None:
        if sockets:
            self.calls.append(("close", bus, None))
        super().close(bus, sockets)


class FakeTap:
    """A tap that remembers what it received."""

    def __init__(self) -> None:
        self.streams = 0
        self.rest = b""
        self.reports: list[BusReport] = []

    def open_stream(self) -> socket.socket:
        self.streams += 1
        return socket.socket()

    def append_rest(self, data: bytes) -> None:
        self.rest += data

    def report(self, report: BusReport) -> None:
        self.reports.append(report)
