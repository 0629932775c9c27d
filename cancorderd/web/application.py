"""The paths of the web process, and their answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web

from cancorderd.control import protocol
from cancorderd.web.access import neighbourhood
from cancorderd.web.daemon_link import DaemonUnreachable
from cancorderd.web.guard import LIVE, SOCKET, refused
from cancorderd.web.health import health
from cancorderd.web.host_facts import HostFactsFinder
from cancorderd.web.live import LiveData
from cancorderd.web.metrics import CONTENT_TYPE, metrics_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cancorderd.web.connections import Connections
    from cancorderd.web.feed import Feed
    from cancorderd.web.guard import Guard

MOST_SOCKETS = 64
MOST_SOCKETS_PER_NEIGHBOUR = 8
_LONGEST_MESSAGE = 16 << 10
"""Bytes of a message from a page."""
_LONGEST_BODY = 4 << 10
"""Bytes of a request's body: none is needed."""
_PING_EVERY_S = 15.0
"""A page that answers no ping is gone: its tab was frozen, or its machine sleeps."""
_COMMENT_EVERY_S = 15.0
_PAGES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
          ".json": "application/json", ".txt": "text/plain", ".ico": "image/x-icon", ".png": "image/png"}  # fmt: skip
"""Media types of static files; no other file is served."""


class Application:
    """All paths. `app` is what aiohttp serves."""

    def __init__(
        self,
        feed: Feed,
        guard: Guard,
        connections: Connections,
        *,
        may_control: bool,
    ) -> None:
        self._feed = feed
        self.live = LiveData(feed, may_control=may_control)
        self._connections = connections
        self._host_facts = HostFactsFinder()
        self._sockets: set[web.WebSocketResponse] = set()
        self._neighbours: Counter[str] = Counter()
        """WebSockets of each neighbourhood."""
        self.app = web.Application(middlewares=[guard.middleware], client_max_size=_LONGEST_BODY)
        self.app.on_response_prepare.append(guard.add_headers)
        add_get = self.app.router.add_get
        add_get(LIVE, self._get_live)
        add_get("/healthz", self._get_health)
        add_get("/metrics", self._get_metrics)
        add_get(protocol.STATUS, self._get_status)
        add_get(protocol.EVENTS, self._get_events, allow_head=False)
        add_get(SOCKET, self._get_socket, allow_head=False)
        self._add_static()
        if may_control:
            self.app.router.add_post(protocol.RELOAD, self._post)
            self.app.router.add_post("/v1/buses/{name}/{verb}", self._post)

    def _add_static(self) -> None:
        """Serve the files of the folder `static`, which are read once."""
        static: Path = files("cancorderd.web").joinpath("static")  # type: ignore[assignment]
        for file in sorted(static.rglob("*")):
            if media_type := _PAGES.get(file.suffix):
                path = f"/{file.relative_to(static).as_posix()}"
                handler = _static_handler(file.read_bytes(), media_type)
                self.app.router.add_get("/" if path == "/index.html" else path, handler)

    async def _get_live(self, _request: web.Request) -> web.Response:
        alive = self._feed.status is not None
        return web.Response(
            text="ok\n" if alive else "cancorderd does not answer\n", status=200 if alive else 503
        )

    async def _get_health(self, _request: web.Request) -> web.Response:
        answer = health(self._feed.status, self._feed.problem)
        return web.json_response(answer, status=200 if answer["ok"] else 503)

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        facts = await self._host_facts.facts(self._feed.status)
        text = metrics_text(self._feed.status, facts)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _get_status(self, _request: web.Request) -> web.Response:
        if self._feed.status is None:
            return refused(self._feed.problem, 503)
        return web.json_response(self._feed.status)

    async def _get_events(self, request: web.Request) -> web.StreamResponse:
        """Stream server-sent events: the remembered ones and, unless `follow=0`, all that follow."""
        self._connections.unlimited(request.transport)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        follow = request.query.get("follow") != "0"
        number = 0
        with contextlib.suppress(ConnectionError):  # the reader has disconnected
            await response.prepare(request)
            while True:
                news = self._feed.events_after(number)
                for _, event in news:
                    await response.write(b"data: %s\n\n" % json.dumps(event).encode())
                if news:
                    number = news[-1].number
                if not follow:
                    break
                if number >= self._feed.event_number and not await self._event_within(
                    number, _COMMENT_EVERY_S
                ):
                    await response.write(b": no news\n\n")
        return response

    async def _event_within(self, number: int, within_s: float) -> bool:
        """Wait for an event that is newer; returns whether there is one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._feed.event_number <= number:
                    await self._feed.wait()
        return self._feed.event_number > number

    async def _get_socket(self, request: web.Request) -> web.StreamResponse:
        neighbour = neighbourhood(request.remote or "0.0.0.0")
        if len(self._sockets) >= MOST_SOCKETS:
            return refused(f"{MOST_SOCKETS} pages are open, as many as are served. Close one of them.", 503)
        if self._neighbours[neighbour] >= MOST_SOCKETS_PER_NEIGHBOUR:
            reason = (
                f"{MOST_SOCKETS_PER_NEIGHBOUR} pages are open at this address, as many as are served there."
            )
            return refused(f"{reason} Close one of them.", 503)
        socket = web.WebSocketResponse(heartbeat=_PING_EVERY_S, max_msg_size=_LONGEST_MESSAGE, compress=False)
        self._sockets.add(socket)
        self._neighbours[neighbour] += 1
        try:
            await socket.prepare(request)
            self._connections.unlimited(request.transport)
            with contextlib.suppress(ConnectionError):
                await self.live.serve(socket)
        finally:
            self._sockets.discard(socket)
            self._neighbours[neighbour] -= 1
            if not self._neighbours[neighbour]:
                del self._neighbours[neighbour]
        return socket

    async def close_sockets(self) -> None:
        """Close the WebSocket of each page; the pages connect again when there is a server again."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._sockets)]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _post(self, request: web.Request) -> web.Response:
        """Pass a change on to the daemon."""
        path = request.path
        if request.query.get("dry_run") == "1":
            path += "?dry_run=1"
        try:
            answer = await self._feed.link.post(path)
        except DaemonUnreachable as error:
            return refused(str(error), 503)
        return web.json_response(answer.body, status=answer.status)


def _static_handler(content: bytes, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    text = media_type.startswith("text/") or media_type.endswith("json")

    async def get(_request: web.Request) -> web.Response:
        headers = {
            "Content-Type": f"{media_type}; charset=utf-8" if text else media_type,
            "Cache-Control": "no-cache",
        }
        return web.Response(body=content, headers=headers)

    return get
