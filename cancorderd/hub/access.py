"""Addresses of a hub's servers, and the user as which to log in. Pure.

Holds names of files, never the secrets in them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 4222
"""Registered for NATS."""
_NO_URL = re.compile(r"[\s\\\x00-\x1f\x7f]")


class ServerAddress(NamedTuple):
    """One server of a hub."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def server_address(url: str) -> ServerAddress:
    """Return the server of a URL. Raises ValueError with a sentence that names no password."""
    if _NO_URL.search(url):
        raise ValueError(
            "contains a blank, or a character that no URL has. Write tls://HOST or tls://HOST:PORT."
        )
    try:
        parts = urlsplit(url if "://" in url else f"tls://{url}")
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        # Not repeated here: the part that cannot be understood may be a password.
        raise ValueError("is no URL. Write tls://HOST or tls://HOST:PORT.") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains a user or password. Write them as user and password_file.")
    if parts.scheme not in ("tls", "nats"):
        raise ValueError(f"begins with {parts.scheme}://, which is no NATS. Write tls://HOST.")
    if port == 0:
        raise ValueError("has the port 0, on which nobody listens. Write tls://HOST or tls://HOST:PORT.")
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("is no URL of a server. Write tls://HOST or tls://HOST:PORT.")
    return ServerAddress(host, PORT if port is None else port, parts.scheme == "tls")


class Mistake(NamedTuple):
    """A key of the settings and the sentence about it, without its place."""

    key: str
    sentence: str


@dataclass(frozen=True)
class HubAccess:
    """How to reach a hub and log in. Paths are those of files that are read at each connection."""

    url: tuple[str, ...]
    credentials: str | None = None
    """A .creds file: a user's JWT and its nkey."""
    user: str | None = None
    password_file: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def has_secret(self) -> bool:
        """Whether a password would be sent to the server (an nkey only signs)."""
        return self.password_file is not None

    def servers(self) -> list[ServerAddress]:
        """Return the servers in the order of trial. Raises ValueError as `server_address`."""
        return [server_address(url) for url in self.url]

    def with_last(self, server: ServerAddress) -> HubAccess:
        """Return the same access that tries this server last.

        For a server that accepts connections and is of no use: without JetStream, or cut off from its cluster.
        """
        return replace(self, url=tuple(sorted(self.url, key=lambda url: server_address(url) == server)))

    def mistakes(self) -> Iterator[Mistake]:
        """Return all contradictions in these settings. No file is read."""
        if not self.url:
            yield Mistake("url", "is empty. Write tls://HOST.")
        for url in self.url:
            try:
                server = server_address(url)
            except ValueError as error:
                yield Mistake("url", str(error))
                continue
            if self.has_secret and not server.tls and not server.loopback:
                yield Mistake(
                    "url", f"{server}: a password would cross the network unencrypted. Write tls:// instead."
                )
        if self.credentials is not None and (self.user is not None or self.password_file is not None):
            yield Mistake("credentials", "stands beside user or password_file. Keep one of the two.")
        if self.password_file is not None and self.user is None:
            yield Mistake("user", "is missing beside password_file. Add it.")
        if self.user is not None and self.password_file is None and self.certificate is None:
            yield Mistake("password_file", "is missing beside user. Add it.")
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            yield Mistake(missing, "is missing: certificate and key belong together. Add it.")


def inbox_prefix(user: str | None) -> str:
    """Return the prefix of the subjects on which a user gets answers.

    Every user has one of its own: whoever may read `_INBOX.>` reads the answers to all others.
    """
    if user is None or not re.fullmatch(r"[A-Za-z0-9_-]+", user):
        return "_INBOX"
    return f"_INBOX_{user}"
