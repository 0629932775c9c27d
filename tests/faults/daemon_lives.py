"""The lives of a daemon that ends and starts again while an adapter sends numbered frames, and the account over all of them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.account import Account, lost_by_place
from tests.support.harness import PATIENCE_S, busy_limit_s, poll

if TYPE_CHECKING:
    from tests.faults.drill import Row
    from tests.faults.watched_bus import WatchedBus

END_WITHIN_S = 5.0
"""From SIGTERM to the end of the daemon, on an idle machine."""
IN_ORDER = (0, -signal.SIGTERM)
"""Exit statuses after SIGTERM: a daemon that still loads its modules has nothing to end, and no handler."""


class Lives:
    """A daemon with the bus `bus`; the first life has begun. Broken promises are noted in `row`."""

    def __init__(self, bus: WatchedBus, row: Row) -> None:
        self.bus = bus
        self.daemon = bus.daemon
        self._row = row
        self._earlier: list[Account] = []

    @property
    def leader(self) -> int:
        """The daemon's process, which leads the session of all its processes."""
        assert self.daemon.process is not None
        return self.daemon.process.pid

    def note_losses(self) -> None:
        """Note the losses that this life has counted, since the next one begins at zero. Call it right before the end."""
        self._earlier.append(Account(0, 0, dict(self.bus.status()["lost"])))

    def start(self) -> None:
        """Begin the next life, and wait until the bus runs."""
        self.daemon.start()
        self.daemon.wait_state(self.bus.name, "running")
        self._row.expect(
            self.bus.status()["port"] == self.bus.port, "the bus has another port after a restart"
        )

    def kill(self) -> None:
        """SIGKILL; no process may be left of this life."""
        leader = self.leader
        self.daemon.kill()
        self._expect_nothing_left(leader)

    def terminate(self) -> None:
        """SIGTERM; the end must come in order and in time, and leave nothing."""
        process = self.daemon.process
        assert process is not None
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE_S)
        lasted_s = time.monotonic() - began_s
        self._row.expect(status in IN_ORDER, f"exit status {status} after SIGTERM")
        self._row.expect(lasted_s < busy_limit_s(END_WITHIN_S), f"the end took {lasted_s:.1f} s")
        self._expect_nothing_left(process.pid)
        if status == 0:
            self._row.expect(not self.daemon.socket.exists(), "the control socket is left")

    def account(self) -> Account:
        """Stop the stream; return the account over all lives."""
        account = self.bus.account()
        return replace(account, lost=lost_by_place([account, *self._earlier]))

    def _expect_nothing_left(self, leader: int) -> None:
        poll(lambda: not session(leader), what=f"the end of all processes of the daemon {leader}")


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == leader and state != "Z":
            found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]
