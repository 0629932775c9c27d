"""Options of the commands of `cancorderctl hub` that log in to a hub, and how these commands fail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from cancorderd.hub.access import HubAccess
    from cancorderd.hub.connection import HubConnection

T = TypeVar("T")

FOLDER = "/etc/cancorder-hub"
"""Folder of the hub in a box."""
_WITHIN_S = 10.0
_told: set[str] = set()
"""Sentences about certificates that were printed: some commands connect several times."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the URL of the hub and the files of a login."""
    parser.add_argument("url", metavar="URL", help="a server of the hub: tls://HOST or tls://HOST:PORT")
    parser.add_argument("--user", metavar="NAME", help="user to log in as")
    parser.add_argument("--password-file", metavar="FILE", help="file with the password of the user")
    parser.add_argument("--credentials", metavar="FILE", help="a .creds file instead of user and password")
    parser.add_argument(
        "--ca", metavar="FILE", help="certificate of the hub's authority (default: the system's)"
    )
    parser.add_argument(
        "--certificate", metavar="FILE", help="certificate of this machine, if the hub asks for it"
    )
    parser.add_argument("--key", metavar="FILE", help="key of that certificate")


def access_of(options: argparse.Namespace, *, administrator: bool = True) -> HubAccess:
    """Return how the options reach the hub. Raises ControlError for those that contradict each other.

    Without a login, it is that of the administrator, if this machine is the hub (and `administrator` allows it).
    """
    from cancorderd.hub.access import HubAccess

    access = HubAccess(
        (options.url,),
        options.credentials,
        options.user,
        options.password_file,
        options.ca,
        options.certificate,
        options.key,
    )
    for mistake in access.mistakes():
        place = mistake.key if mistake.key == "url" else f"--{mistake.key.replace('_', '-')}"
        raise ControlError(f"{place}: {mistake.sentence}", Exit.USAGE)
    if administrator and access == HubAccess(access.url):
        return _administrator(access) or access
    return access


def _administrator(access: HubAccess) -> HubAccess | None:
    """Return how the administrator of this machine's hub reaches the server of `access`, if that is this hub."""
    from dataclasses import replace

    from cancorderd.hub.box import Box
    from cancorderd.hub.failures import HubError

    try:
        administrator = Box(Path(FOLDER)).access()
        own = set(administrator.servers()) & set(access.servers())
    except (HubError, ValueError):  # no hub, or a user who may not administrate it
        return None
    return replace(administrator, url=access.url) if own else None


def at_hub(access: HubAccess, call: Callable[[HubConnection], Awaitable[T]]) -> T:
    """Connect, and return the result of `call`. Raises ControlError."""
    import asyncio  # not for status, which answers at once

    from cancorderd.hub.failures import HubError

    try:
        from cancorderd.hub.connection import open_connection

        async def called() -> T:
            connection = await open_connection(access, "cancorderctl", within_s=_WITHIN_S)
            for notice in connection.notices:
                if notice not in _told:
                    _told.add(notice)
                    print_error(notice)
            try:
                return await call(connection)
            finally:
                await connection.close()

        return asyncio.run(called())
    except HubError as error:
        raise failed(error) from error


def failed(error: Exception) -> ControlError:
    """Return the failure of a command that a failure of the hub means."""
    from cancorderd.hub.failures import NotPermitted

    return ControlError(str(error), Exit.NO_PERMISSION if isinstance(error, NotPermitted) else Exit.FAILED)
