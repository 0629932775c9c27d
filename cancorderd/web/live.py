"""What the open pages are sent: status, history, events and live frames, each to each page over its WebSocket.

A page that reads slowly delays nobody and costs no memory: what it has not been sent yet is kept as the latest status, the
number of the last event and the number of the last tick of frames, never as a queue of messages.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import WSMsgType

from cancorderd.web import page_messages
from cancorderd.web.bus_history import SPARKLINE_SECONDS, SPARKLINE_STEP, BusHistory
from cancorderd.web.frame_feed import FrameFeed
from cancorderd.web.page_messages import MessageError, Ready, Watch, read_message

if TYPE_CHECKING:
    from aiohttp import web

    from cancorderd.control.protocol import BusStatus
    from cancorderd.web.bus_history import HistoryAnswer
    from cancorderd.web.feed import Feed
    from cancorderd.web.frame_table import Key

_MOST_SIGNALS = 1024
"""Rows whose signals wait for a page that is slow."""


class LiveData:
    """History of every bus, and the feeds of live frames that pages watch."""

    def __init__(self, feed: Feed, *, may_control: bool) -> None:
        self.feed = feed
        self.may_control = may_control
        self._history = BusHistory()
        self._frame_feeds: dict[str, FrameFeed] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pages: set[_Page] = set()
        self._status_text = ""
        self._status_number = 0

    async def run(self) -> None:
        """Take samples of every status until cancelled; then end the feeds."""
        number = 0
        try:
            while True:
                if self.feed.status_number > number:
                    number = self.feed.status_number
                    if self.feed.status is not None:
                        self._history.add(int(time.monotonic()), self.feed.status["buses"])
                for page in self._pages:
                    page.wake()
                await self.feed.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Serve one page until it closes its socket."""
        page = _Page(socket, self)
        self._pages.add(page)
        sending = asyncio.create_task(page.send())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    page.receive(message.data)
        except MessageError:
            await socket.close()
        finally:
            sending.cancel()
            self._pages.discard(page)
            page.leave()
            await asyncio.gather(sending, return_exceptions=True)

    def status_text(self) -> str:
        """Return the message with the latest status, made once for all pages."""
        if self._status_number != self.feed.status_number:
            self._status_number = self.feed.status_number
            self._status_text = page_messages.encode(
                {
                    "kind": "status",
                    "time": time.time(),
                    "status": self.feed.status,
                    "reason": self.feed.problem,
                }
            )
        return self._status_text

    def sparklines(self) -> dict[str, HistoryAnswer]:
        found = {}
        for bus in self.feed.status["buses"] if self.feed.status else []:
            answer = self._history.answer(bus["name"], int(time.time()), SPARKLINE_SECONDS, SPARKLINE_STEP)
            if answer:
                found[bus["name"]] = answer
        return found

    def history(self, bus: str) -> HistoryAnswer | None:
        return self._history.answer(bus, int(time.time()))

    def bus(self, name: str) -> BusStatus | None:
        """Return the status of a bus; None if there is no such bus."""
        buses = self.feed.status["buses"] if self.feed.status else []
        return next((bus for bus in buses if bus["name"] == name), None)

    def join(self, page: _Page, bus: BusStatus) -> FrameFeed:
        """Return the feed of a bus, with the page among its readers."""
        name, database = bus["name"], bus.get("database")
        feed = self._frame_feeds.get(name)
        if feed is None or feed.database != database:
            feed = self._frame_feeds[name] = FrameFeed(name, self.feed.link.path, database)
            self._start(name, feed)
        feed.pages.add(page)
        return feed

    def leave(self, page: _Page, feed: FrameFeed) -> None:
        """Take a page out of a feed's readers; without any, the feed ends."""
        feed.pages.discard(page)
        if not feed.pages and self._frame_feeds.get(feed.bus) is feed:
            del self._frame_feeds[feed.bus]
            self._tasks.pop(feed.bus).cancel()

    def _start(self, name: str, feed: FrameFeed) -> None:
        if old := self._tasks.pop(name, None):
            old.cancel()
        self._tasks[name] = asyncio.create_task(feed.run())


class _Page:
    """One open page: what it shows, and what it has been sent."""

    def __init__(self, socket: web.WebSocketResponse, live: LiveData) -> None:
        self.decode: frozenset[Key] = frozenset()
        self._socket = socket
        self._live = live
        self._watch = Watch()
        self._feed: FrameFeed | None = None
        self._tick = -1
        """Latest tick of the feed that the page has been sent; below 0: none."""
        self._ready = True
        """Whether the page has drawn the last update of frames."""
        self._signals: dict[str, object] = {}
        self._signals_reason = ""
        self._signals_due = False
        self._history_due = False
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Send what is new."""
        self._news.set()

    def receive(self, text: str) -> None:
        """Do what the page asks for. Raises MessageError."""
        message = read_message(text)
        if isinstance(message, Ready):
            self._ready = True
        else:
            self._show(message)
        self._news.set()

    def _show(self, watch: Watch) -> None:
        before, self._watch = self._watch, watch
        if watch.bus != before.bus:
            self._history_due = watch.bus is not None
        new_keys = not self.decode.issuperset(watch.decode)
        self.decode = frozenset(watch.decode)
        wanted = watch.bus if watch.frames else None
        if self._feed and self._feed.bus != wanted:
            self.leave()
        if wanted and self._feed is None:
            self._join(wanted)
        elif self._feed and new_keys:
            self.signals_arrived(self._feed.bus, *self._feed.known_signals())

    def _join(self, name: str) -> None:
        bus = self._live.bus(name)
        if bus is None:
            return
        self._feed = self._live.join(self, bus)
        self._ready = True
        self._tick = -1
        self.signals_arrived(name, *self._feed.known_signals())

    def leave(self) -> None:
        """Let go of the frames."""
        if self._feed:
            self._live.leave(self, self._feed)
            self._feed = None

    def frames_arrived(self) -> None:
        self._news.set()

    def signals_arrived(self, bus: str, signals: dict[str, object], reason: str) -> None:
        if self._feed and bus == self._feed.bus:
            self._signals |= signals
            if len(self._signals) > _MOST_SIGNALS:
                self._signals = dict(list(self._signals.items())[-_MOST_SIGNALS:])
            self._signals_reason = reason
            self._signals_due = True
            self._news.set()

    async def send(self) -> None:
        """Send what is new until the socket closes."""
        send, feed = self._socket.send_str, self._live.feed
        status_number = event_number = 0
        await send(page_messages.encode({"kind": "hello", "control": self._live.may_control}))
        await send(page_messages.encode({"kind": "sparklines", "buses": self._live.sparklines()}))
        while not self._socket.closed:
            if feed.status_number > status_number:
                status_number = feed.status_number
                await send(self._live.status_text())
                self._watch_again()
            if events := feed.events_after(event_number):
                event_number = events[-1].number
                await send(
                    page_messages.encode(
                        {"kind": "events", "events": [numbered.event for numbered in events]}
                    )
                )
            for text in self._texts():
                await send(text)
            await self._news.wait()
            self._news.clear()

    def _watch_again(self) -> None:
        """Join a bus that has come, or whose database has changed."""
        if not self._watch.frames or self._watch.bus is None:
            return
        bus = self._live.bus(self._watch.bus)
        if bus and (self._feed is None or self._feed.database != bus.get("database")):
            self.leave()
            self._join(bus["name"])

    def _texts(self) -> list[str]:
        """Return the messages about the bus that the page shows, which are due."""
        texts = []
        if self._history_due and self._watch.bus is not None:
            self._history_due = False
            history = self._live.history(self._watch.bus)
            texts.append(
                page_messages.encode({"kind": "history", "bus": self._watch.bus, "history": history})
            )
        if self._feed and self._ready and self._tick < self._feed.tick:
            self._ready = False
            texts.append(self._feed.news_text(self._tick))
            self._tick = self._feed.tick
        if self._feed and self._signals_due:
            signals, self._signals = self._signals, {}
            self._signals_due = False
            texts.append(
                page_messages.encode(
                    {
                        "kind": "signals",
                        "bus": self._feed.bus,
                        "signals": signals,
                        "reason": self._signals_reason,
                    }
                )
            )
        return texts
