"""A daemon with one slcan bus, whose emulated adapter streams numbered frames, and a viewer of this bus."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from tests.faults.watched_bus import WatchedBus
from tests.support.harness import Daemon
from tests.support.numbered_frames import slcan_line
from tests.support.slcan_adapter import EmulatedSlcan
from tests.support.slcan_thread import SlcanAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class NumberedSlcan(EmulatedSlcan):
    """An adapter whose frames are numbered from 0; `sent` is the number of those that it has handed to the host.

    While the host has no room, frames are neither numbered nor sent, as in an adapter whose own buffer is full.
    """

    def stream(self) -> None:
        now = time.monotonic()
        room = self.flush()
        if not self.open or not self.rate:
            self._due = now
            return
        self._due = max(self._due, now - 0.2)
        while self._due < now:
            self._due += 1 / self.rate
            if room:
                line = slcan_line(self.sent)
                self.sent += 1
                self.write(line)
                room = not self._rest
            else:
                self.lost += 1

    def unplug(self) -> None:
        """Frames that the host has not read are gone with the port: they were not handed over."""
        if self.slave is not None:
            self.sent -= self._rest.count(b"\r") + _unread_frames(self.slave)
        super().unplug()


def _unread_frames(slave: int) -> int:
    """Read what the host has not read from its end of a terminal; return the number of frames that end in it."""
    unread = b""
    while select.select([slave], [], [], 0.005)[0] and (text := os.read(slave, 1 << 16)):
        unread += text
    first, *others = unread.split(b"\r")[:-1] or [b""]
    return (first != b"" and first[:1] not in b"FVN") + sum(line.startswith(b"t") for line in others)


def numbered_adapter(link: Path) -> SlcanAdapter:
    return SlcanAdapter(link, kind=NumberedSlcan)


def slcan_table(name: str, link: Path, keys: str = "") -> str:
    """Return the table of a bus with the adapter at `link`."""
    return f'[bus.{name}]\ninterface = "slcan"\nchannel = "{link}"\n{keys}\n'


def watched(daemon: Daemon, name: str, adapter: SlcanAdapter) -> WatchedBus:
    return WatchedBus(
        daemon,
        name,
        sent=lambda: adapter.adapter.sent,
        unheard=lambda: adapter.adapter.lost,
        set_rate=lambda rate: adapter.command(f"rate {rate}"),
    )


class SlcanBus:
    """The bus `a`, running and seen by a viewer, during the `with` block, which receives a `WatchedBus`."""

    def __init__(
        self, folder: Path, *, rate: float, keys: str = "", more_buses: str = "", prefix: Sequence[str] = ()
    ) -> None:
        """`keys` are added to the bus, `more_buses` to the configuration; `prefix` executes the daemon."""
        self._rate = rate
        self.adapter = numbered_adapter(folder / "tty")
        self.daemon = Daemon(folder, slcan_table("a", folder / "tty", keys) + more_buses)
        self.daemon.prefix += prefix
        self.bus = watched(self.daemon, "a", self.adapter)

    def __enter__(self) -> WatchedBus:
        self.adapter.__enter__()
        try:
            self.daemon.start()
            self.bus.connect()
            self.daemon.wait_state("a", "running")
            self.bus.send(self._rate)
        except BaseException:
            self.__exit__()
            raise
        return self.bus

    def __exit__(self, *_: object) -> None:
        try:
            if self.daemon.process is not None:
                self.daemon.__exit__()
        finally:
            self.bus.disconnect()
            self.adapter.__exit__()
