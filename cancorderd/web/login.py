"""The check of passwords and tokens, one password at a time, away from the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from typing import TYPE_CHECKING

from cancorderd.web.access import Throttle, credentials, neighbourhood

if TYPE_CHECKING:
    from cancorderd.web.password import PasswordHash

_MOST_WAITING = 16
"""Requests whose password waits to be checked; further ones are refused for the moment."""
_FULL_WAIT_S = 2.0


class LoginRequired(Exception):
    """The request has no valid password or token."""


class LoginThrottled(Exception):
    """Too many wrong passwords came from there. `wait_s` is the time until the next may be tried."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Login:
    """Decides whether a request may pass. `None` for both: everything may."""

    def __init__(self, password: PasswordHash | None, token: str | None) -> None:
        self._password = password
        self._token = token
        self._throttle = Throttle()
        self._one = asyncio.Lock()
        self._waiting = 0
        self._secret = os.urandom(32)
        self._right: bytes | None = None
        """Digest of the right password, once it was given: it need not be computed for each request."""

    async def check(self, header: str, address: str, *, token_suffices: bool) -> None:
        """Return if the request with this Authorization header may pass. Raises LoginRequired or LoginThrottled."""
        if self._password is None:
            return
        given = credentials(header)
        neighbour = neighbourhood(address)
        if not (given.password or given.token):
            raise LoginRequired
        self._check_throttle(neighbour)
        if given.token:
            right = self._token is not None and hmac.compare_digest(
                given.token.encode(errors="surrogateescape"), self._token.encode()
            )
            if not right:
                self._throttle.failed(neighbour, time.monotonic())
            if not (right and token_suffices):
                raise LoginRequired
            return
        digest = hashlib.blake2b(given.password.encode(errors="replace"), key=self._secret).digest()
        if self._right is not None and hmac.compare_digest(digest, self._right):
            return
        await self._check_password(given.password, digest, neighbour)

    async def _check_password(self, password: str, digest: bytes, neighbour: str) -> None:
        assert self._password is not None  # noqa: S101 - as `check` has found
        if self._waiting >= _MOST_WAITING:
            raise LoginThrottled(_FULL_WAIT_S)
        self._waiting += 1
        try:
            async with self._one:
                # Others from there may have failed meanwhile.
                self._check_throttle(neighbour)
                right = await asyncio.to_thread(self._password.matches, password)
                if not right:
                    self._throttle.failed(neighbour, time.monotonic())
                    raise LoginRequired
                self._right = digest
        finally:
            self._waiting -= 1

    def _check_throttle(self, neighbour: str) -> None:
        if wait_s := self._throttle.wait_s(neighbour, time.monotonic()):
            raise LoginThrottled(wait_s)
