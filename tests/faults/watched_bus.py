"""A bus of a daemon on which numbered frames flow, its viewer, and its account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.account import Account
from tests.faults.viewer import Viewer
from tests.support.harness import poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.support.harness import Daemon

_ON_THE_WAY_S = 20.0
"""TCP may wait so long before it sends again, after a cable was out for some seconds."""


class WatchedBus:
    """The bus and its viewer; `connect` when the daemon runs, `disconnect` at the end."""

    def __init__(
        self,
        daemon: Daemon,
        name: str,
        *,
        sent: Callable[[], int],
        unheard: Callable[[], int],
        set_rate: Callable[[float], object],
    ) -> None:
        """`set_rate` changes frames per second.

        `sent` returns the frames that the adapter has handed over, `unheard` those that it could not hand over.
        """
        self.daemon = daemon
        self.name = name
        self.rate = 0.0
        self.port = 0
        self.viewer: Viewer | None = None
        self._began = 0.0, 0
        """Time, on the monotonic clock, and number of a frame after the adapter has begun to send."""
        self._sent = sent
        self._unheard = unheard
        self._set_rate = set_rate

    @property
    def sent(self) -> int:
        return self._sent()

    @property
    def seen(self) -> Viewer:
        """The viewer, which is connected."""
        assert self.viewer is not None
        return self.viewer

    def connect(self, host: str = "127.0.0.1") -> None:
        self.port = self.daemon.wait_port(self.name)
        self.viewer = Viewer(self.port, host).__enter__()
        poll(lambda: len(self.status()["clients"]) >= 1, what="the viewer is connected")

    def disconnect(self) -> None:
        if self.viewer is not None:
            self.viewer.__exit__()

    def send(self, rate: float) -> None:
        """Let the adapter send at this rate, and wait for the first frame."""
        self.rate = max(rate, self.rate)
        self._set_rate(rate)
        self.wait_flow()
        self._began = time.monotonic(), self.sent

    def status(self) -> dict[str, Any]:
        return self.daemon.bus(self.name)

    @property
    def pid(self) -> int:
        """The worker's process."""
        return int(poll(lambda: self.status()["pid"], what="a worker"))

    def wait_flow(self) -> float:
        """Wait for a frame that the adapter sends from now on; return its arrival, on the monotonic clock."""
        mark = self.sent
        poll(lambda: self.seen.last >= mark, what=f"a new frame of {self.name}")
        return self.seen.last_arrival_s

    def wait_rate(self) -> None:
        """Wait until the daemon knows the rate of frames, from a second in which they flowed all the time."""
        began_s, number = self._began
        poll(lambda: time.monotonic() > began_s + 2.2, what="two reports")

        def known() -> bool:
            real = (self.sent - number) / (time.monotonic() - began_s)
            return bool(self.status()["frames"]["per_second"] > 0.8 * min(real, self.rate))

        poll(known, what="the rate")

    def wait_next_worker(self, earlier: int) -> None:
        """Wait for a worker that is another process than `earlier`."""
        poll(lambda: self.status()["pid"] not in (earlier, None), what="the next worker")

    def forget_faults(self) -> None:
        """Restart the worker in order: the delay before the next restart starts over, and no frame is lost."""
        worker = self.pid
        # On a machine that is too busy, the command ends before the bus runs, and says so.
        self.daemon.ctl("restart", self.name)
        self.wait_next_worker(worker)
        self.wait_flow()

    def account(self) -> Account:
        """Stop the adapter's stream, wait until nothing is on the way, and return the account."""
        self._set_rate(0)
        deadline_s = time.monotonic() + _ON_THE_WAY_S
        poll(
            lambda: self._settled() and (self._complete() or time.monotonic() > deadline_s),
            what="the end of the stream",
        )
        lost = dict(self.status()["lost"])
        return Account(self.sent, self.seen.received, lost, self.rate, self._unheard())

    def _complete(self) -> bool:
        """Return whether nothing can be on the way: TCP may wait for seconds before it sends again."""
        return bool(self.seen.received + sum(self.status()["lost"].values()) >= self.sent)

    def _settled(self) -> bool:
        def counts() -> tuple[int, int, int]:
            return self.sent, self.seen.received, int(self.status()["frames"]["received"])

        before = counts()
        time.sleep(1.1)  # a report comes each second
        return self.status()["frames"]["per_second"] == 0 and counts() == before
