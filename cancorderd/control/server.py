"""The control interface: HTTP with JSON on a Unix socket, for `cancorderctl` and curl.

Who is on the other end, the kernel says (SO_PEERCRED); reading is for whoever may connect, changing for
root and the daemon's own user.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import inspect
import json
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from cancorderd.control import protocol
from cancorderd.supervisor.machine import Event
from cancorderd.supervisor.manager import UnknownBus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cancorderd.supervisor.events import EventLog
    from cancorderd.supervisor.manager import Manager

_VERBS = {"start": Event.START, "stop": Event.STOP, "restart": Event.RESTART}
_SHUTDOWN = {"shutdown_timeout": 0.5}
"""Seconds for answers that are under way at the end."""
_RUNNER_SHUTS_DOWN = "shutdown_timeout" in inspect.signature(web.BaseRunner).parameters
"""Since aiohttp 3.9 that is the runner's business; before, as in Debian 12, the site's."""
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
"""macOS: getsockopt(2) answers a struct xucred (sys/ucred.h): version, then the user."""


class SocketInUse(Exception):
    """Another daemon, or something else, has the control socket; `str()` says what to do."""


def listening_socket(path: str) -> socket.socket:
    """A Unix socket for this daemon alone. Its permissions are set before anybody can connect to it.

    Raises SocketInUse where another daemon answers there, OSError where the place is not writable.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SocketInUse(
            f"{path}: another cancorderd has this control socket. End it, or set daemon.control_socket."
        ) from None
    # The lock ends with the process; its descriptor is kept on purpose.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(mask)
    # Nobody can connect before listen().
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(protocol.GROUP).gr_gid)
        os.chmod(path, 0o660)
    sock.listen(16)
    sock.setblocking(False)
    return sock


def peer_user(sock: Any) -> int:
    """The user id of the process on the other end of a Unix socket."""
    if sys.platform == "darwin":
        credentials = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        return int(struct.unpack_from("=II", credentials)[1])
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


class ControlServer:
    """Serves one manager. `reload` is the daemon's: it reads the file and applies it."""

    def __init__(
        self,
        manager: Manager,
        events: EventLog,
        reload: Callable[[bool], Awaitable[dict[str, Any]]],
    ) -> None:
        self._manager = manager
        self._events = events
        self._reload = reload
        app = web.Application(middlewares=[_errors_as_json])
        app.router.add_get(protocol.STATUS, self._status)
        app.router.add_get(protocol.EVENTS, self._stream_events)
        app.router.add_post(protocol.RELOAD, self._reload_asked)
        app.router.add_post("/v1/buses/{name}/{verb}", self._verb)
        options: dict[str, Any] = _SHUTDOWN if _RUNNER_SHUTS_DOWN else {}
        self._runner = web.AppRunner(app, access_log=None, **options)

    async def start(self, sock: socket.socket) -> None:
        await self._runner.setup()
        options: dict[str, Any] = {} if _RUNNER_SHUTS_DOWN else _SHUTDOWN
        await web.SockSite(self._runner, sock, **options).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._manager.status())

    async def _reload_asked(self, request: web.Request) -> web.Response:
        dry_run = request.query.get("dry_run") == "1"
        if not dry_run:
            _check_may_change(request)
        answer = await self._reload(dry_run)
        return web.json_response(answer, status=422 if "problems" in answer else 200)

    async def _verb(self, request: web.Request) -> web.Response:
        event = _VERBS.get(request.match_info["verb"])
        if event is None:
            return web.json_response({"error": f"verbs are {', '.join(_VERBS)}"}, status=404)
        _check_may_change(request)
        try:
            bus = await self._manager.control(request.match_info["name"], event)
        except UnknownBus as error:
            return web.json_response({"error": str(error)}, status=404)
        return web.json_response({"name": bus.name, "state": bus.life.phase.value, "reason": bus.reason})

    async def _stream_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: what is remembered, then what happens; with `follow=0`, only the former."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        follow = request.query.get("follow") != "0"
        with contextlib.suppress(ConnectionResetError):  # nobody listens any more
            async for event in self._events.read(follow=follow):
                await response.write(b"data: %s\n\n" % json.dumps(event).encode())
        return response


def _check_may_change(request: web.Request) -> None:
    assert request.transport is not None  # noqa: S101 - a request that is being answered has one
    user = peer_user(request.transport.get_extra_info("socket"))
    if not protocol.may_change(user, os.geteuid()):
        raise web.HTTPForbidden(reason="only root and the daemon's own user may change buses. Use sudo.")


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
