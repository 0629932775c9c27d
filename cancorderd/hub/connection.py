"""A connection to one of the servers of a hub.

It is never repaired: whoever loses it opens another. (nats-py would send again after a reconnect what had failed.)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from cancorderd.hub.absent_module import absent
from cancorderd.hub.access import inbox_prefix
from cancorderd.hub.access_files import read_file
from cancorderd.hub.certificates import Validity, no_certificate, validities
from cancorderd.hub.endings import late, meaning_of_end, missing_right, no_answer
from cancorderd.hub.failures import (
    AccessMistake,
    ConnectionLost,
    HubError,
    LibraryMissing,
    NoJetStream,
    Progress,
    Refused,
    Stage,
)
from cancorderd.hub.login import Login, read_login
from cancorderd.printable import error_text, printable

try:
    with absent("aiohttp"):  # for hubs behind WebSockets: 10 MiB in each process that talks to one
        import nats.errors
        from nats.aio.client import Client, RawCredentials

    from cancorderd.hub.transport import OpenTransport, open_transport
except ImportError as missing:
    raise LibraryMissing("nats-py is not installed. Run pip install 'cancorderd[nats]'.") from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from nats.aio.msg import Msg

    from cancorderd.hub.access import HubAccess, ServerAddress

T = TypeVar("T")

OPEN_WITHIN_S = 10.0
PING_INTERVAL_S = 10
ANSWER_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 2.0
_PUBLISH_WITHIN_S = 1.0
_PENDING_LIMIT = 4 << 20
"""Bytes that may wait to be written: more than a window of batches."""
_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)


class _Client(Client):
    """nats-py's client on a transport that is open already."""

    def __init__(self, transport: OpenTransport) -> None:
        super().__init__()
        self._transport = self._open_transport = transport

    async def _process_op_err(self, e: Exception) -> None:
        # nats-py would wait until a dead peer takes the bytes that wait, and say nothing of the end if it never does.
        self._pending.clear()
        self._pending_data_size = 0
        self._open_transport.abort()
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # nats-py has flushed into a connection that the server has closed after an error, and reports no end.
            self._open_transport.abort()
            if do_cbs and self._closed_cb is not None:
                await self._closed_cb()


class HubConnection:
    """An open connection, logged in. `client` is nats-py's, for publishing and subscribing."""

    def __init__(self, client: Client, transport: OpenTransport, server: ServerAddress, login: Login) -> None:
        self.client = client
        self.server = server
        self.user = login.user
        self.validities: list[Validity] = []
        """Certificates and credentials in use, and when they become invalid."""
        self._transport = transport
        self._closed: asyncio.Future[HubError] = asyncio.get_running_loop().create_future()
        self._refusals: dict[str, list[tuple[str, asyncio.Future[Refused]]]] = {}
        """Waiting requests by their subject in lower case."""
        self.last_refusal: Refused | None = None
        """The latest right that was found missing."""

    @property
    def notices(self) -> list[str]:
        """Sentences about certificates and credentials that expire within 30 days from now."""
        now_s = time.time()
        notices = [validity.notice(now_s) for validity in self.validities]
        return [notice for notice in notices if notice is not None]

    @property
    def info(self) -> dict[str, Any]:
        """The server's description of itself."""
        return self.client._server_info  # noqa: SLF001 - nats-py has no other access

    @property
    def server_name(self) -> str:
        return printable(str(self.info.get("server_name", "")))

    @property
    def version(self) -> str:
        return printable(str(self.info.get("version", "")))

    @property
    def max_payload(self) -> int:
        return int(self.client.max_payload)

    @property
    def encrypted(self) -> bool:
        return self._transport.encrypted

    @property
    def open(self) -> bool:
        return not self._closed.done() and bool(self.client.is_connected)

    def write(self, data: bytes) -> None:
        """Write whole commands of the NATS protocol, past nats-py. Never waits: the caller limits the bytes without an answer."""
        self._transport.write(data)

    def filter_arrivals(self, filtered: Callable[[bytes], bytes]) -> None:
        """Pass what arrives from now on through a function, which returns the bytes for nats-py."""
        self._transport.filter_arrivals(filtered)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Turn the exceptions of calls of `client` into ConnectionLost. A connection may end while nobody uses it."""
        try:
            yield
        except (nats.errors.Error, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> ConnectionLost:
        if self._closed.done():
            return ConnectionLost(str(self._closed.result()))
        return ConnectionLost(f"{self.server}: the connection ended ({error_text(error)}).")

    async def wait_closed(self) -> HubError:
        """Return the reason when the connection has ended."""
        return await asyncio.shield(self._closed)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        within_s: float = ANSWER_WITHIN_S,
    ) -> Msg:
        """Return the answer to a request.

        Raises Refused if the user has no right to the subject, NoJetStream if nothing answers to it, NoAnswer and
        ConnectionLost.
        """
        try:
            return await self.answer(
                subject, self.client.request(subject, payload, timeout=within_s, headers=headers), within_s
            )
        except nats.errors.NoRespondersError as error:
            raise NoJetStream(
                f"{self.server}: JetStream does not answer for {self.user or 'this user'}. Enable it for the server "
                "and the account."
            ) from error

    async def answer(self, subject: str, answer: Coroutine[Any, Any, T], within_s: float) -> T:
        """Return the result of `answer`, which waits for messages after a publish to `subject`.

        Raises Refused, NoAnswer and ConnectionLost.
        """
        refused: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        waiting = self._refusals.setdefault(subject.lower(), [])
        waiting.append((subject, refused))
        task = asyncio.ensure_future(answer)
        ends: set[asyncio.Future[Any]] = {task, refused, self._closed}
        try:
            # The publish before the answer may wait, too, if the server reads nothing.
            await asyncio.wait(
                ends, timeout=within_s + _PUBLISH_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if refused.done():
                raise refused.result()
            if task.done():
                return await task
            if self._closed.done():
                raise ConnectionLost(str(self._closed.result()))
            raise nats.errors.TimeoutError  # noqa: TRY301 - as if the request had raised it
        except nats.errors.NoRespondersError:
            raise
        except nats.errors.TimeoutError as error:
            raise no_answer(self.server, subject, within_s) from error
        except (nats.errors.Error, OSError) as error:
            raise self._lost(error) from error
        finally:
            task.cancel()
            waiting.remove((subject, refused))
            if not waiting:
                self._refusals.pop(subject.lower(), None)

    async def close(self) -> None:
        """End the connection within some seconds; unsent data may be lost."""
        self._ended(ConnectionLost(f"{self.server}: closed here."))
        with contextlib.suppress(TimeoutError, nats.errors.Error, OSError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self.client.close()
        self._transport.abort()

    async def on_error(self, error: Exception) -> None:
        """Take what nats-py reports; only a missing right does not end the connection."""
        violation = _VIOLATION.search(str(error))
        if violation is None:
            return
        action, subject = violation[1].lower(), printable(violation[2])
        waiting = self._refusals.get(subject.lower()) or self._mapped(subject.lower())
        if action == "subscription" and subject.startswith(inbox_prefix(self.user).lower()):
            # Without its inbox, the user gets no answer at all.
            subject = f"{inbox_prefix(self.user)}.>"
            waiting = [each for requests in self._refusals.values() for each in requests]
        elif waiting:
            # nats-py reports it in lower case.
            subject = waiting[0][0]
        self.last_refusal = refusal = missing_right(self.server, self.user, action, subject)
        for _subject, future in waiting:
            if not future.done():
                future.set_result(refusal)

    def _mapped(self, subject: str) -> list[tuple[str, asyncio.Future[Refused]]]:
        """Return the requests that an account of the hub maps to `subject` before it checks the right to it."""
        _, api, request = subject.partition(".api.")
        return self._refusals.get(f"$js.api.{request}", []) if api else []

    async def on_closed(self) -> None:
        self._ended(meaning_of_end(self.server, self.client.last_error, login=Login(self.user)))

    async def on_lame_duck(self) -> None:
        """End the use of a server that is about to stop: its JetStream has stopped, and answers nothing."""
        self._ended(ConnectionLost(f"{self.server}: is about to stop (lame duck mode). It is tried again."))

    def _ended(self, reason: HubError) -> None:
        if not self._closed.done():
            self._closed.set_result(reason)


async def open_connection(
    access: HubAccess, name: str, *, within_s: float = OPEN_WITHIN_S, pending_bytes: int = _PENDING_LIMIT
) -> HubConnection:
    """Return a connection to the first server of `access` that accepts one; `name` is shown at the server.

    Each server is tried for `within_s`. Raises HubError, of the server with which the attempt got furthest.
    """
    try:
        servers = access.servers()
    except ValueError as error:
        raise AccessMistake(f"url: {error}") from error
    failures: list[HubError] = []
    for server in servers:
        try:
            return await connect_to(server, access, name, within_s=within_s, pending_bytes=pending_bytes)
        except HubError as error:
            failures.append(error)
    if not failures:
        raise AccessMistake("url: is empty. Write tls://HOST.")
    raise max(failures, key=lambda failure: failure.stage)


async def connect_to(
    server: ServerAddress,
    access: HubAccess,
    name: str,
    *,
    within_s: float = OPEN_WITHIN_S,
    pending_bytes: int = _PENDING_LIMIT,
) -> HubConnection:
    """Return a connection to one server of `access`. Raises HubError."""
    login = await read_file(access.credentials or access.password_file, lambda: read_login(access))
    if login.password is not None and not server.tls and not server.loopback:
        raise AccessMistake(
            f"{server}: a password would cross the network unencrypted. Write tls:// instead."
        )
    progress = Progress()
    try:
        async with asyncio.timeout(within_s):
            transport = await open_transport(server, access, progress)
            progress.stage = Stage.LOGIN
            return await _logged_in(server, access, login, transport, name=name, pending_bytes=pending_bytes)
    except TimeoutError as error:
        raise late(server, progress.stage, within_s) from error


async def _logged_in(
    server: ServerAddress,
    access: HubAccess,
    login: Login,
    transport: OpenTransport,
    *,
    name: str,
    pending_bytes: int,
) -> HubConnection:
    client = _Client(transport)
    connection = HubConnection(client, transport, server, login)
    secrets: dict[str, Any] = {}
    if login.credentials is not None:
        _require_nkeys()
        secrets["user_credentials"] = RawCredentials(login.credentials)
    elif login.password is not None:
        secrets |= {"user": login.user, "password": login.password}
    try:
        await client.connect(
            servers=[str(server)],
            name=name,
            allow_reconnect=False,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=2,
            inbox_prefix=inbox_prefix(login.user),
            connect_timeout=3600,  # the limit is connect_to's
            pending_size=pending_bytes,
            error_cb=connection.on_error,
            closed_cb=connection.on_closed,
            lame_duck_mode_cb=connection.on_lame_duck,
            **secrets,
        )
        connection.validities = await _validities(server, access, login, transport)
    except (nats.errors.Error, OSError, ValueError) as error:
        transport.abort()
        if connection.info.get("tls_verify") and access.certificate is None and _closed_without_reason(error):
            raise no_certificate(server) from error
        raise meaning_of_end(server, error, access, login, now_s=time.time()) from error
    except BaseException:
        transport.abort()
        raise
    return connection


def _closed_without_reason(error: Exception) -> bool:
    """Return whether the server ended the connection without a word, as it does with TLS 1.3 and no certificate."""
    return not isinstance(error, nats.errors.Error) or isinstance(error, nats.errors.UnexpectedEOF)


def _require_nkeys() -> None:
    try:
        import nkeys  # noqa: F401, PLC0415 - needed for credentials only
    except ImportError as error:
        raise LibraryMissing(
            "nkeys is not installed, which credentials need. Run pip install 'cancorderd[nats]'."
        ) from error


async def _validities(
    server: ServerAddress, access: HubAccess, login: Login, transport: OpenTransport
) -> list[Validity]:
    path = access.ca or access.certificate
    found = await read_file(path, lambda: validities(server, access, transport.certificate))
    if login.expires_s is not None:
        remedy = "Get new credentials from the hub's owner."
        found.append(Validity(f"{access.credentials}: the user's JWT", login.expires_s, remedy))
    return found
