"""Many gateways in one process, as they look to a hub: `writer FILE`, a file with the JSON of a `Task`.

Each gateway has a connection of its own and publishes as a forwarder does: guarded, acknowledged, in a window. Prints
`connected`, begins after the input line `go`, sends for its time, waits for the acknowledgements, and prints a `Result` as JSON.
Python's own client of NATS would take several times as much of the machine that the hub shares.
"""

from __future__ import annotations

import json
import re
import select
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cancorderd.forwarder.window import MOST_BATCHES, MOST_BYTES
from cancorderd.hub.subjects import stream_name
from tests.bench.fleet.link import Link
from tests.bench.fleet.messages import Body, Sender, bodies, publication

_TICK_S = 0.001
_PATIENCE_S = 60.0
"""Time for the last acknowledgements."""
_STORED = re.compile(r'"seq":(\d+)')


@dataclass(frozen=True)
class Account:
    """A gateway's login, and the last sequence number of its stream."""

    gateway: str
    last_sequence: int
    user: str = ""
    password_file: str = ""


@dataclass(frozen=True)
class Task:
    port: int
    accounts: list[Account]
    frames: int
    """Frames of a batch."""
    interval_s: float
    """Time between two batches of a bus; 0: as fast as the hub acknowledges."""
    seconds: float
    buses: int = 4
    compressed: bool = True
    ca: str = ""
    most: int = 0
    """Batches of each gateway, or 0: no limit."""


@dataclass(frozen=True)
class Result:
    sent: int
    """Batches that were published, and acknowledged in the end."""
    bytes: int
    """Size of all bodies."""
    delays_us: list[int]
    """Time from publishing to the acknowledgement, for each batch."""
    seconds: float
    """Until the last acknowledgement."""


class Gateway:
    """One gateway: its window and its counts."""

    def __init__(self, account: Account, task: Task, number: int) -> None:
        name = account.gateway
        self.link = Link(task.port, account.user, account.password_file, task.ca)
        self.owed: float = 0
        """Batches that are due and not published yet; infinite if they are never all published."""
        self.sent = self.sent_bytes = 0
        self.delays_us: list[int] = []
        self._sender = Sender(name, stream_name(name), f"{time.time_ns() & 0xFFFFFFFFFFFF:012x}{number:04x}")
        self._sequence = account.last_sequence
        self._before = [0] * task.buses
        self._in_flight: deque[float] = deque()

    @property
    def waiting(self) -> int:
        """Batches that are not acknowledged yet."""
        return len(self._in_flight)

    def pay(self, bodies: list[Body]) -> None:
        """Publish owed batches while the window has room; the buses take turns."""
        size = len(bodies[0].packets)
        while self.owed and len(self._in_flight) < MOST_BATCHES and self.waiting * size < MOST_BYTES:
            self.owed -= 1
            self._publish(self.sent % len(self._before), bodies[self.sent % len(bodies)])

    def _publish(self, bus: int, body: Body) -> None:
        self.sent += 1
        self.sent_bytes += len(body.packets)
        self.link.put(
            publication(
                self._sender, f"bus{bus}", f"{self.link.inbox}.{self._sequence}", body,
                number=self.sent, before=self._before[bus], last_sequence=self._sequence,
                now_us=time.time_ns() // 1000,
            )
        )  # fmt: skip
        self._before[bus] += body.frames
        self._sequence += 1
        self._in_flight.append(time.monotonic())

    def take_answers(self) -> None:
        now_s = time.monotonic()
        for answer in self.link.answers():
            expected, found = self._sequence - self.waiting + 1, _STORED.search(answer)
            if found is None or int(found[1]) != expected:
                raise SystemExit(f"{self._sender.gateway}: {answer} in place of {expected}")
            self.delays_us.append(round(1e6 * (now_s - self._in_flight.popleft())))


class Writer:
    """All gateways of this process."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bodies = bodies(task.frames, compressed=task.compressed)
        self._gateways = [Gateway(account, task, number) for number, account in enumerate(task.accounts)]
        self._by_descriptor = {gateway.link.fileno(): gateway for gateway in self._gateways}
        self._blocked: set[int] = set()
        """Descriptors that take nothing at present."""
        self._poll = select.epoll()
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)

    def run(self) -> Result:
        began_s = time.monotonic()
        if self._task.interval_s:
            self._paced(began_s)
        else:
            self._flood(began_s)
        sent = sum(gateway.sent for gateway in self._gateways)
        for gateway in self._gateways:
            gateway.owed = 0
        end_s = time.monotonic() + _PATIENCE_S
        while any(gateway.waiting for gateway in self._gateways):
            if time.monotonic() > end_s:
                raise SystemExit("the hub has stopped acknowledging")
            self._exchange(_TICK_S)
        return Result(
            sent=sent,
            bytes=sum(gateway.sent_bytes for gateway in self._gateways),
            delays_us=[delay for gateway in self._gateways for delay in gateway.delays_us],
            seconds=time.monotonic() - began_s,
        )

    def _paced(self, began_s: float) -> None:
        """Publish each batch when it is due; the gateways take turns."""
        task, gateways = self._task, self._gateways
        rate = len(gateways) * task.buses / task.interval_s
        due = 0
        while (passed_s := time.monotonic() - began_s) < task.seconds:
            until = int(passed_s * rate)
            for number in range(due, until):
                gateway = gateways[number % len(gateways)]
                gateway.owed += 1
                gateway.pay(self._bodies)
            due = until
            self._exchange(_TICK_S)

    def _flood(self, began_s: float) -> None:
        """Publish as fast as the hub acknowledges."""
        for gateway in self._gateways:
            gateway.owed = self._task.most or float("inf")
            gateway.pay(self._bodies)
        while time.monotonic() - began_s < self._task.seconds:
            self._exchange(0.1)
            if not any(gateway.waiting for gateway in self._gateways):
                break

    def _exchange(self, patience_s: float) -> None:
        """Write pending data, and take the answers that arrive in time."""
        for descriptor, gateway in self._by_descriptor.items():
            if gateway.link.waits:
                self._write(descriptor, gateway.link)
        for descriptor, _ in self._poll.poll(patience_s):
            gateway = self._by_descriptor[descriptor]
            gateway.take_answers()
            gateway.pay(self._bodies)

    def _write(self, descriptor: int, link: Link) -> None:
        blocked = not link.write()
        if blocked != (descriptor in self._blocked):
            self._poll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT if blocked else select.EPOLLIN)
            self._blocked.symmetric_difference_update({descriptor})


def task_of(content: dict[str, Any]) -> Task:
    return Task(**{**content, "accounts": [Account(**account) for account in content["accounts"]]})


def main(file: Path) -> None:
    writer = Writer(task_of(json.loads(file.read_text())))
    print("connected", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(writer.run())), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
