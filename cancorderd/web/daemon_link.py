"""The web process's view of the daemon: requests on its control socket, without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

from cancorderd.control import protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import StreamReader

    from cancorderd.control.protocol import LoggedEvent, StatusAnswer, WebAnswer

_ANSWER_WITHIN_S = 5.0
_CHANGE_WITHIN_S = 60.0
"""Longer than a reload takes at most."""
_MOST_CONNECTIONS = 40
"""Fewer than the control socket accepts: 64, of which `cancorderctl` needs some."""
_READ_BYTES = 1 << 16
_EVENT_BYTES = 1 << 20
"""Longest line of the stream of events."""


class DaemonUnreachable(Exception):
    """The daemon does not answer. `str()` is the reason."""


class Answer(NamedTuple):
    """Answer to a request of a change, as the page passes it on."""

    status: int
    body: dict[str, Any]


class DaemonLink:
    """Asks the daemon behind one control socket. Create it in a running loop, and close it at the end."""

    def __init__(self, path: str) -> None:
        self.path = path
        connector = UnixConnector(path, limit=_MOST_CONNECTIONS, force_close=True)
        self._session = ClientSession(
            "http://cancorder", connector=connector, read_bufsize=_READ_BYTES, auto_decompress=False
        )

    async def close(self) -> None:
        await self._session.close()

    async def status(self) -> StatusAnswer:
        """Return the state of the daemon and of every bus. Raises DaemonUnreachable."""
        answer: Any = await self._get(protocol.STATUS)
        found: StatusAnswer = answer
        return found

    async def web(self) -> WebAnswer:
        """Return the settings of the page that are in force. Raises DaemonUnreachable."""
        answer: Any = await self._get(protocol.WEB)
        found: WebAnswer = answer
        return found

    async def events(self) -> AsyncIterator[LoggedEvent]:
        """Yield the remembered events, and every new event. Raises DaemonUnreachable, also at the end of the stream."""
        timeout = ClientTimeout(total=None, sock_connect=_ANSWER_WITHIN_S)
        try:
            async with self._session.get(protocol.EVENTS, timeout=timeout) as response:
                if response.status != 200:
                    raise DaemonUnreachable(_reason(await response.json()))
                async for line in _lines(response.content):
                    if line.startswith(b"data: "):
                        yield json.loads(line[6:])
        except (ClientError, OSError, ValueError) as error:
            raise DaemonUnreachable(_text(error)) from error
        raise DaemonUnreachable("cancorderd has ended.")

    async def frames(self, bus: str) -> AsyncIterator[bytes]:
        """Yield the packets of a bus as they arrive, cut anywhere, until its stream ends.

        As long as the caller does not ask for more, they wait in the worker, which drops the oldest. Raises
        DaemonUnreachable if the bus cannot be read at present.
        """
        timeout = ClientTimeout(total=None, sock_connect=_ANSWER_WITHIN_S)
        try:
            async with self._session.get(protocol.frames_path(bus), timeout=timeout) as response:
                if response.status != 200:
                    raise DaemonUnreachable(_reason(await response.json()))
                async for data in response.content.iter_any():
                    yield data
        except (ClientError, OSError, ValueError) as error:
            raise DaemonUnreachable(_text(error)) from error

    async def post(self, path: str) -> Answer:
        """Request a change, and return the answer when it is in force. Raises DaemonUnreachable."""
        try:
            async with self._session.post(path, timeout=ClientTimeout(total=_CHANGE_WITHIN_S)) as response:
                return Answer(response.status, await response.json())
        except (ClientError, OSError, ValueError) as error:
            raise DaemonUnreachable(_text(error)) from error

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            async with self._session.get(path, timeout=ClientTimeout(total=_ANSWER_WITHIN_S)) as response:
                answer = await response.json()
        except (ClientError, OSError, ValueError) as error:
            raise DaemonUnreachable(_text(error)) from error
        if response.status != 200 or not isinstance(answer, dict):
            raise DaemonUnreachable(_reason(answer))
        return answer


async def _lines(content: StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. A line that is too long ends it (ValueError)."""
    rest = b""
    async for data in content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > _EVENT_BYTES:
            raise ValueError("an event is too long")
        for line in lines:
            yield line


def _reason(answer: object) -> str:
    reason = answer.get("error") if isinstance(answer, dict) else None
    return str(reason or "the answer of cancorderd cannot be read")


def _text(error: BaseException) -> str:
    """Return the reason in words."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, TimeoutError | asyncio.TimeoutError):
        return "cancorderd does not answer. Look into its log."
    with contextlib.suppress(AttributeError):
        error = error.os_error  # type: ignore[attr-defined]
    if isinstance(error, PermissionError):
        return f"the control socket may not be read. Run this process with the group {protocol.GROUP}."
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "cancorderd is not running."
    return f"cancorderd cannot be asked: {type(error).__name__}."
