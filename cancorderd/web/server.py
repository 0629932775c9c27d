"""The web process, put together: from the settings in force to the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from typing import TYPE_CHECKING

from aiohttp import web

from cancorderd.config.settings_json import rebuilt
from cancorderd.config.web_settings import WebSettings
from cancorderd.hidden_folders import remedy_if_hidden
from cancorderd.ipc.exit_statuses import SideExit
from cancorderd.service.malformed_requests import http_log
from cancorderd.web.access import Networks, own_names
from cancorderd.web.application import Application
from cancorderd.web.connections import Connections, listening_socket
from cancorderd.web.daemon_link import DaemonLink, DaemonUnreachable
from cancorderd.web.feed import Feed
from cancorderd.web.guard import Guard
from cancorderd.web.login import Login
from cancorderd.web.password import MalformedPassword, parse
from cancorderd.web.supervisor_channel import ChannelHandler, ServiceManager, SupervisorChannel

if TYPE_CHECKING:
    from cancorderd.web.password import PasswordHash

log = logging.getLogger("cancorderd.web")
_http_log = http_log("cancorderd.web.http", "of a browser")

_ASK_AGAIN_S = 0.5
_ALIVE_EVERY_S = 1.0
_SHUTDOWN_S = 0.5
"""Time that unfinished answers get when the process ends."""
_KEEPALIVE_S = 75.0
_LONGEST_LINE = 4 << 10
_LONGEST_HEADER = 8 << 10
_SHORTEST_TOKEN = 16
_LONGEST_FILE = 4096


class Unservable(Exception):
    """The page cannot be served with these settings. `str()` gives place, fact and remedy."""


class WebServer:
    """The process: serves the page of the daemon behind one control socket. Create it in a running loop."""

    def __init__(self, socket_path: str, descriptor: int | None) -> None:
        """`descriptor` is that of the channel to the daemon that started this process."""
        self._end = asyncio.Event()
        self._supervisor: SupervisorChannel | ServiceManager
        if descriptor is None:
            self._supervisor = ServiceManager()
        else:
            self._supervisor = SupervisorChannel(descriptor, self._end.set)
        self._link = DaemonLink(socket_path)
        self._feed = Feed(self._link)

    async def run(self) -> SideExit:
        """Serve until SIGTERM, until the daemon that started this process is gone, or until its settings change."""
        self._set_up_log()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end.set)
        loop.add_signal_handler(signal.SIGINT, self._end.set)
        reason = ""
        beating = asyncio.create_task(self._beat())
        try:
            settings = await self._settings()
            status = SideExit.DONE if settings is None else await self._serve(settings)
        except Unservable as error:
            status, reason = SideExit.REFUSED, str(error)
        finally:
            beating.cancel()
            await self._link.close()
        self._supervisor.end(reason)
        return status

    def _set_up_log(self) -> None:
        root = logging.getLogger()
        root.addHandler(ChannelHandler(self._supervisor))
        root.setLevel(logging.WARNING)
        log.setLevel(logging.INFO)

    async def _beat(self) -> None:
        while True:
            self._supervisor.alive()
            await asyncio.sleep(_ALIVE_EVERY_S)

    async def _settings(self) -> WebSettings | None:
        """Return the settings in force; None without [web], or if the end comes first."""
        said = ""
        while not self._end.is_set():
            try:
                answer = await self._link.web()
            except DaemonUnreachable as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("waiting for cancorderd: %s", said)
                await self._pause(_ASK_AGAIN_S)
                continue
            return rebuilt(WebSettings, answer["settings"]) if answer["settings"] else None
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait for a time, or for the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()

    async def _serve(self, settings: WebSettings) -> SideExit:
        login = Login(_password(settings), _token(settings))
        connections = Connections(Networks(settings.allow), _tls(settings))
        guard = Guard(own_names(socket.gethostname(), settings.hosts), login, connections, tls=settings.tls)
        application = Application(self._feed, guard, connections, may_control=settings.may_control)
        runner = web.AppRunner(
            application.app,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=_KEEPALIVE_S,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_HEADER,
        )
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - as `setup` leaves it
        sockets = _listening_sockets(settings)
        for sock in sockets:
            connections.listen(sock, runner.server)
        log.info("the page is at %s", settings.address)
        if not settings.local and not settings.tls:
            log.warning(
                "whoever listens on the network can read along. Write certificate and key in [web], or "
                'listen = ["127.0.0.1"].'
            )
        following = [
            asyncio.create_task(self._feed.run()),
            asyncio.create_task(application.live.run()),
        ]
        try:
            return await self._until_end(settings, following)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await connections.stop()
            await application.close_sockets()
            await runner.server.shutdown(_SHUTDOWN_S)
            await runner.cleanup()

    async def _until_end(self, settings: WebSettings, following: list[asyncio.Task[None]]) -> SideExit:
        """Wait for the end, or for other settings in force."""
        while not self._end.is_set():
            await self._pause(_ASK_AGAIN_S)
            for task in following:
                if task.done():
                    task.result()
            with contextlib.suppress(DaemonUnreachable):
                answer = await self._link.web()
                if not answer["settings"]:
                    return SideExit.DONE
                if rebuilt(WebSettings, answer["settings"]) != settings:
                    return SideExit.AGAIN
        return SideExit.DONE


def _listening_sockets(settings: WebSettings) -> list[socket.socket]:
    """Return a socket for each address of `listen` that this machine has. Raises Unservable."""
    sockets, problems = [], []
    for address in settings.listen:
        try:
            sockets.append(listening_socket(address, settings.port))
        except OSError as error:
            problems.append(f"{address}: {error.strerror or error}")
    if not sockets:
        fact = f"port {settings.port} cannot be opened ({', '.join(problems)})"
        raise Unservable(f"{fact}. Set another port or listen in [web], or end the program that has it.")
    for problem in problems:
        log.warning("listen: %s", problem)
    return sockets


def _tls(settings: WebSettings) -> ssl.SSLContext | None:
    """Return the context for TLS. Raises Unservable."""
    if not settings.certificate or not settings.key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:
        fact = getattr(error, "strerror", None) or str(error)
        raise Unservable(
            f"web.certificate: {settings.certificate} and {settings.key} cannot be used: {fact}. Both have to be PEM, "
            "without a password, and readable for the user of this process."
        ) from error
    return context


def _password(settings: WebSettings) -> PasswordHash | None:
    """Return the password in its file. Raises Unservable."""
    if settings.password_file is None:
        return None
    try:
        return parse(_content(settings.password_file, "password_file"))
    except MalformedPassword:
        place = settings.password_file
        raise Unservable(
            f"{place}: this is no password file. Write it: cancorderctl web password {place}"
        ) from None


def _token(settings: WebSettings) -> str | None:
    """Return the token in its file. Raises Unservable."""
    if settings.token_file is None:
        return None
    token = _content(settings.token_file, "token_file").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        fact = (
            f"the token needs at least {_SHORTEST_TOKEN} letters, digits or other visible characters of ASCII"
        )
        raise Unservable(
            f"{settings.token_file}: {fact}. Write it: openssl rand -hex 32 > {settings.token_file}"
        )
    return token


def _content(path: str, key: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_FILE)
    except OSError as error:
        remedy = (
            remedy_if_hidden(path)
            or "It has to be readable for the user of this process, cancorder-web under systemd."
        )
        raise Unservable(f"web.{key}: {path}: {error.strerror}. {remedy}") from error
