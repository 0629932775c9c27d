"""The server of the control API: HTTP with JSON on a Unix socket, for `cancorderctl` and curl.

The kernel identifies the peer (SO_PEERCRED): everyone who may connect may read; only root and the daemon's
own user may make changes. `protocol` has the paths and the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import pwd
import socket
import struct
import sys
from typing import TYPE_CHECKING

from aiohttp import web

import cancorderd
from cancorderd.control import protocol
from cancorderd.control.connections import ControlConnections
from cancorderd.printable import printable
from cancorderd.service.malformed_requests import http_log
from cancorderd.supervisor.manager import Ending, NotServed, UnknownBus
from cancorderd.supervisor.state_machine import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cancorderd.control.protocol import ErrorAnswer, ReloadAnswer, VerbAnswer, WebAnswer
    from cancorderd.supervisor.event_log import EventLog
    from cancorderd.supervisor.manager import Manager, Outcome

_EVENTS = {"start": Event.START, "stop": Event.STOP, "restart": Event.RESTART}
_SHUTDOWN_S = 0.5
"""Time that unfinished answers get when the server stops."""
_COMMENT_EVERY_S = 15.0
"""Interval of comments in a quiet stream of events, which show to both ends that the other one is there."""
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
"""macOS: getsockopt(2) returns a struct xucred (sys/ucred.h), which begins with a version and the user."""

log = logging.getLogger("cancorderd")
_http_log = http_log("cancorderd.http", "on the control socket")
_FRAMES_HEAD = (
    f"HTTP/1.1 200 OK\r\nContent-Type: {protocol.FRAMES_TYPE}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
).encode()


def peer_user(sock: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    if sys.platform == "darwin":
        credentials = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        return int(struct.unpack_from("=II", credentials)[1])
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def user_name(user: int) -> str | None:
    """Return the name of a user, or None. May wait for the database of users."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


class ControlServer:
    """HTTP server in front of the manager.

    `reload` reads and applies the configuration file; its argument is `dry_run`. `peer` returns the user id
    of the process at the other end of a connection.
    """

    def __init__(
        self,
        manager: Manager,
        events: EventLog,
        reload: Callable[[bool], Awaitable[ReloadAnswer]],
        *,
        peer: Callable[[socket.socket], int] = peer_user,
        user_name: Callable[[int], str | None] = user_name,
        connections: ControlConnections | None = None,
        comment_every_s: float = _COMMENT_EVERY_S,
    ) -> None:
        self._manager = manager
        self._events = events
        self._reload = reload
        self._peer = peer
        self._user_name = user_name
        self._connections = connections or ControlConnections(peer)
        self._comment_every_s = comment_every_s
        app = web.Application(middlewares=[self._without_time_limit, _errors_as_json])
        app.router.add_get(protocol.INDEX, self._get_index)
        app.router.add_get(protocol.STATUS, self._get_status)
        app.router.add_get(protocol.EVENTS, self._get_events)
        app.router.add_get(protocol.WEB, self._get_web)
        app.router.add_post(protocol.RELOAD, self._post_reload)
        app.router.add_get(protocol.frames_path("{name}"), self._get_frames, allow_head=False)
        app.router.add_post("/v1/buses/{name}/{verb}", self._post_verb)
        self._runner = web.AppRunner(app, access_log=None, logger=_http_log)

    async def start(self, sock: socket.socket) -> None:
        await self._runner.setup()
        await self.listen(sock)

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a listening socket, in place of an earlier one. Owns the socket."""
        assert self._runner.server is not None  # noqa: S101 - as `setup` leaves it
        await self._connections.listen(sock, self._runner.server)

    async def stop(self) -> None:
        await self._connections.stop()
        if self._runner.server:
            await self._runner.server.shutdown(_SHUTDOWN_S)
        await self._runner.cleanup()

    @web.middleware
    async def _without_time_limit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let the answer take as long as it needs."""
        transport = request.transport
        if transport is None:  # the peer has gone
            return await handler(request)
        self._connections.request_begins(transport)
        try:
            return await handler(request)
        finally:
            self._connections.request_ends(transport)

    async def _get_index(self, _request: web.Request) -> web.Response:
        return _json(protocol.index_answer(cancorderd.__version__))

    async def _get_status(self, _request: web.Request) -> web.Response:
        return _json(self._manager.status())

    async def _get_web(self, _request: web.Request) -> web.Response:
        settings = self._manager.configuration.web
        answer: WebAnswer = {"settings": dataclasses.asdict(settings) if settings else None}
        return _json(answer)

    async def _post_reload(self, request: web.Request) -> web.Response:
        dry_run = request.query.get("dry_run") == "1"
        if not dry_run:
            await self._check_permission(request)
        answer = await self._reload(dry_run)
        return _json(answer, status=422 if "problems" in answer else 200)

    async def _post_verb(self, request: web.Request) -> web.Response:
        event = _EVENTS.get(request.match_info["verb"])
        if event is None:
            return _error(f"verbs are {', '.join(_EVENTS)}", 404)
        await self._check_permission(request)
        try:
            outcome = await self._manager.control(request.match_info["name"], event)
        except UnknownBus as error:
            return _error(str(error), 404)
        return _json(verb_answer(outcome))

    async def _get_events(self, request: web.Request) -> web.StreamResponse:
        """Stream server-sent events: the remembered ones and, unless `follow=0`, all that follow."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        follow = request.query.get("follow") != "0"
        with contextlib.suppress(ConnectionResetError):  # the reader has disconnected
            await response.prepare(request)
            async for event in self._events.read(follow=follow, idle_s=self._comment_every_s):
                text = b"data: %s\n\n" % json.dumps(event).encode() if event else b": no news\n\n"
                await response.write(text)
        return response

    async def _get_frames(self, request: web.Request) -> web.Response:
        """Hand the connection over to the bus's worker, which sends the frames on it."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return web.Response()  # nobody gets it
        if not isinstance(transport, asyncio.WriteTransport) or transport.get_write_buffer_size():
            return _error("read the earlier answers of this connection first", 409)
        try:
            sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        except OSError as error:
            return _error(f"{error.strerror}. Raise the limit of open files (LimitNOFILE=, ulimit -n).", 503)
        try:
            self._manager.add_reader(request.match_info["name"], sock, _FRAMES_HEAD)
        except UnknownBus as error:
            sock.close()
            return _error(str(error), 404)
        except NotServed as error:
            sock.close()
            return _error(str(error), 409)
        except BaseException:
            sock.close()
            raise
        # The connection goes on without this process: its end here is closed without a byte, and without a shutdown.
        transport.abort()
        return web.Response()

    async def _check_permission(self, request: web.Request) -> None:
        """Raise HTTPForbidden if the peer may not make changes."""
        assert request.transport is not None  # noqa: S101 - set until the answer is complete
        user = self._peer(request.transport.get_extra_info("socket"))
        if not protocol.may_change(user, os.geteuid()) and not await self._is_web_process(user):
            raise web.HTTPForbidden(reason="only root and the daemon's own user may change buses. Use sudo.")

    async def _is_web_process(self, user: int) -> bool:
        """Return whether this is the user of the web process, and the page may change buses."""
        settings = self._manager.configuration.web
        if settings is None or not settings.may_control:
            return False
        return await asyncio.to_thread(self._user_name, user) == protocol.WEB_USER


def verb_answer(outcome: Outcome) -> VerbAnswer:
    return {
        "name": outcome.bus,
        "state": outcome.state.value,
        "reason": outcome.reason,
        "done": outcome.done,
    }


def _json(answer: Mapping[str, object], status: int = 200) -> web.Response:
    return web.json_response(answer, status=status)


def _error(text: str, status: int) -> web.Response:
    answer: ErrorAnswer = {"error": text}
    return _json(answer, status)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.reason, error.status)
    except Ending as error:
        return _error(str(error), 503)
    except ConnectionError:  # the peer has disconnected
        raise
    except Exception as error:
        log.exception("%s %s cannot be answered", request.method, printable(request.path))
        reason = printable(f"{type(error).__name__}: {error}")
        return _error(f"an error of cancorderd: {reason}. Its trace is in the log; please report it.", 500)
