"""What every request passes before it is answered, and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from aiohttp import web

from cancorderd.printable import printable
from cancorderd.web.access import is_own_host, is_own_origin
from cancorderd.web.login import LoginRequired, LoginThrottled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cancorderd.web.connections import Connections
    from cancorderd.web.login import Login

log = logging.getLogger("cancorderd.web")

LIVE = "/livez"
"""The one path without a password: it tells whether the daemon answers, and nothing else."""
SOCKET = "/ws"
_FOR_TOKENS = ("/metrics", "/healthz", "/v1/")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), fullscreen=(self), geolocation=(), microphone=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Server": "cancorderd",
}
"""Headers of every answer, by OWASP's Secure Headers Project."""
_STRICT_TRANSPORT = "max-age=31536000"


class Guard:
    """The middleware in front of all handlers."""

    def __init__(self, names: frozenset[str], login: Login, connections: Connections, *, tls: bool) -> None:
        """`names` are those of this machine, as `own_names` returns them."""
        self._names = names
        self._login = login
        self._connections = connections
        self._tls = tls

    async def add_headers(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the headers of every answer; called for each before it is sent."""
        for name, value in HEADERS.items():
            response.headers[name] = value
        if self._tls:
            response.headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
        response.headers.setdefault("Cache-Control", "no-store")

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        transport = request.transport
        self._connections.request_begins(transport)
        try:
            refusal = await self._refusal(request)
            return refusal or await handler(request)
        except web.HTTPException as error:
            return _with_allow(error, refused(error.reason, error.status))
        except (ConnectionError, asyncio.CancelledError):  # the peer has disconnected
            raise
        except Exception as error:
            log.exception("%s %s cannot be answered", request.method, printable(request.path))
            reason = (
                f"an error of cancorderd: {type(error).__name__}. Its trace is in the log; please report it."
            )
            return refused(reason, 500)
        finally:
            self._connections.request_ends(transport)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """Return why the request is refused, or None."""
        host = request.headers.get("Host", "")
        if not is_own_host(host, self._names):
            shown = printable(host, 100)
            return refused(f"{shown!r} is not a name of this machine. Add it to hosts in [web].", 421)
        origin = request.headers.get("Origin")
        needs_origin = request.method not in ("GET", "HEAD") or request.path == SOCKET
        if origin is None and needs_origin:
            return refused("a request like this comes from the page alone (no Origin header)", 403)
        if origin is not None and not is_own_origin(origin, host):
            return refused("a request of another site is refused (Origin header)", 403)
        return None if request.path == LIVE else await self._login_refusal(request)

    async def _login_refusal(self, request: web.Request) -> web.Response | None:
        reads = request.method in ("GET", "HEAD")
        try:
            await self._login.check(
                request.headers.get("Authorization", ""),
                request.remote or "0.0.0.0",
                token_suffices=reads and request.path.startswith(_FOR_TOKENS),
            )
        except LoginRequired:
            response = refused("a password is needed", 401)
            response.headers["WWW-Authenticate"] = 'Basic realm="cancorderd", charset="UTF-8"'
            return response
        except LoginThrottled as error:
            wait_s = math.ceil(error.wait_s)
            response = refused(f"too many wrong passwords. Try again in {wait_s} s.", 429)
            response.headers["Retry-After"] = str(wait_s)
            return response
        return None


def refused(reason: str, status: int) -> web.Response:
    return web.json_response({"error": reason}, status=status)


def _with_allow(error: web.HTTPException, response: web.Response) -> web.Response:
    """Keep the header of a 405 (RFC 9110, 15.5.6)."""
    if allow := error.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response
