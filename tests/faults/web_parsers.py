"""Damaged input from browsers and from whoever reaches the page's port; see `parsers`. `web_page` has the real server."""

from __future__ import annotations

import contextlib
import functools

from cancorderd.web.access import (
    credentials,
    is_own_host,
    is_own_origin,
    own_names,
)
from cancorderd.web.login import Login, LoginRequired, LoginThrottled
from cancorderd.web.page_messages import MessageError, read_message
from cancorderd.web.password import MalformedPassword, PasswordHash, line_of, parse

_NAMES = own_names("gateway.example", ["can.example"])
_CHEAP = 1 << 17
"""Product of the parameters of scrypt that a drill can pay for."""


def page_messages(data: bytes) -> None:
    """A message of a page."""
    with contextlib.suppress(MessageError):
        read_message(data.decode(errors="replace"))


@functools.cache
def _password() -> PasswordHash:
    return parse(line_of("password", bytes(16)))


def request_headers(data: bytes) -> None:
    """Host, Origin and Authorization, a line each, as aiohttp decodes them."""
    host, origin, authorization = [*data.decode(errors="surrogateescape").split("\n"), "", ""][:3]
    is_own_host(host, _NAMES)
    is_own_origin(origin, host)
    if not credentials(authorization).token:
        return  # a password is checked in another thread, which takes a good part of a second
    check = Login(_password(), "token").check(authorization, "192.0.2.1", token_suffices=True)
    try:
        check.send(None)
    except (StopIteration, LoginRequired, LoginThrottled):
        pass
    else:
        raise AssertionError("the check of a token waits")


def password_line(data: bytes) -> None:
    """The line of a file with the password."""
    try:
        found = parse(data.decode(errors="surrogateescape"))
    except MalformedPassword:
        return
    if found.n * found.r * found.p <= _CHEAP:
        found.matches("password")
