"""The live frames of one bus, for every page that shows them.

The bus's worker sends its frames over the control socket, as to any reader: with a bounded backlog, in no count of
clients. They are read and counted ten times a second (`frame_table`); pages get what has changed. The feed ends when no
page shows the bus, so that nothing is read for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from cancorderd.control.client import ControlClient, ControlError
from cancorderd.protocol.packets import WireError
from cancorderd.web import page_messages
from cancorderd.web.database_process import DatabaseProcess
from cancorderd.web.frame_table import FrameTable, Key, Ticks, key_text

if TYPE_CHECKING:
    import socket


TICK_S = 0.1
"""At most ten updates a second: a person reads no more."""
_CONNECT_AGAIN_S = 1.0
_CONTROL_TIMEOUT_S = 10.0
_READ_BYTES = 1 << 20
_MOST_READS = 8
"""Reads in a tick: beyond them, the backlog of the worker does its work."""


class FramePage(Protocol):
    """A page that shows the bus."""

    decode: frozenset[Key]
    """Rows whose signals it shows."""

    def frames_arrived(self) -> None:
        """Ask the feed for the news, now or once the page is ready for them."""

    def signals_arrived(self, bus: str, signals: dict[str, object], reason: str) -> None:
        """Send decoded signals by the name of their row."""


class FrameFeed:
    """Reader of a bus's frames."""

    def __init__(self, bus: str, control_socket: str, database: str | None) -> None:
        self.bus = bus
        self.database = database
        self.table = FrameTable()
        self.reason = ""
        """Why no frames can arrive; empty if they can."""
        self.pages: set[FramePage] = set()
        self._client = ControlClient(control_socket, _CONTROL_TIMEOUT_S)
        self._signals: dict[str, object] = {}
        self._decoded: dict[Key, tuple[int, bytes]] = {}
        """Payloads behind `_signals`."""
        self._database_reason = ""
        self._ticks = Ticks()
        self._texts: dict[int, str] = {}
        """Messages of this tick by the tick that their pages have been sent last."""

    async def run(self) -> None:
        """Read until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(self._read())
            if self.database:
                tasks.create_task(self._decode(self.database))

    @property
    def tick(self) -> int:
        """Number of the latest tick."""
        return self._ticks.latest

    def news_text(self, since: int) -> str:
        """Return the message for a page that has been sent tick `since`, below 0 for none; made once for all such pages."""
        text = self._texts.get(since)
        if text is None:
            updates = self._ticks.since(since) if since >= 0 else None
            if updates is None:
                rows = self.table.all_rows()
            else:
                rows = [self.table.row(key, changed) for key, changed in updates.items()]
            text = self._texts[since] = page_messages.encode(
                {
                    "kind": "frames",
                    "bus": self.bus,
                    "whole": updates is None,
                    "rows": rows,
                    "errors": self.table.errors,
                    "left_out": self.table.left_out,
                    "reason": self.reason,
                }
            )
        return text

    def known_signals(self) -> tuple[dict[str, object], str]:
        """Return the signals so far and what is wrong with the database, for a page that comes."""
        return dict(self._signals), self._database_reason

    async def _read(self) -> None:
        while True:
            try:
                sock = await asyncio.to_thread(self._client.frames, self.bus)
            except ControlError as error:
                self._set_reason(str(error))
                await asyncio.sleep(_CONNECT_AGAIN_S)
                continue
            self._set_reason("")
            self.table.restart_stream()
            with sock:
                sock.setblocking(False)
                await self._read_from(sock)
            await asyncio.sleep(TICK_S)

    async def _read_from(self, sock: socket.socket) -> None:
        """Read until the stream ends."""
        loop = asyncio.get_running_loop()
        next_tick_s = loop.time()
        while True:
            try:
                open_still = self._take(sock)
            except (OSError, WireError):
                return
            self._tell_pages()
            if not open_still:
                return
            next_tick_s = max(next_tick_s + TICK_S, loop.time())
            await asyncio.sleep(next_tick_s - loop.time())

    def _take(self, sock: socket.socket) -> bool:
        """Count all packets that have arrived; return False if the stream has ended."""
        for _ in range(_MOST_READS):
            try:
                data = sock.recv(_READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.table.receive(data)
        return True

    def _tell_pages(self, *, always: bool = False) -> None:
        updates = self.table.updates()
        if not updates and not always:
            return
        self._ticks.add(updates)
        self._texts.clear()
        for page in list(self.pages):
            page.frames_arrived()

    def _set_reason(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self._tell_pages(always=True)

    async def _decode(self, path: str) -> None:
        """Decode the last payloads of the rows that pages show, as often as they change."""
        async with DatabaseProcess(path) as database:
            while True:
                self._set_database_reason(database.reason)
                wanted = {key for page in self.pages for key in page.decode}
                payloads = {
                    key: payload
                    for key in wanted
                    if (payload := self.table.payload(key)) and payload != self._decoded.get(key)
                }
                if payloads:
                    self._decoded |= payloads
                    news = await database.decode(payloads)
                    named = {key_text(key): decoded for key, decoded in news.items()}
                    self._signals |= named
                    self._tell_signals(named)
                await asyncio.sleep(TICK_S)

    def _set_database_reason(self, reason: str) -> None:
        if reason != self._database_reason:
            self._database_reason = reason
            self._tell_signals({})

    def _tell_signals(self, signals: dict[str, object]) -> None:
        for page in list(self.pages):
            page.signals_arrived(self.bus, signals, self._database_reason)
