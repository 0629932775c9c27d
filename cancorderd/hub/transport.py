"""The way of nats-py's bytes to a server: opened and, if asked for, encrypted before nats-py writes anything.

nats-py upgrades to TLS only if the server asks for it, and otherwise sends the password in clear, even to tls://.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from nats.aio.transport import TcpTransport

from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.hub.access_files import read_file
from cancorderd.hub.certificates import no_tls, tls_context, tls_failure
from cancorderd.hub.failures import NameUnknown, NotNats, Progress, Stage, TlsFailed, Unreachable
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import ParseResult

    from cancorderd.hub.access import HubAccess, ServerAddress

_BUFFER = 1 << 20
"""Bytes that a stream reader gathers; its line limit bounds the server's INFO."""
_READ_BYTES = 1 << 18
"""Bytes that one read takes, at most."""
_LOOKUP_S = 4.0
_NEXT_ADDRESS_S = 0.25
"""RFC 8305: the wait before the next address of a host is tried, too."""
_LOOKUPS: dict[str, FileThread] = {}
"""A thread for each host of the configuration: a lookup that gets no answer holds up none of another host."""
_DEAD_AFTER_MS = 30_000
"""A peer that acknowledges no data for this long is gone."""


class _Reader(asyncio.StreamReader):
    """A stream reader with a filter before it."""

    filter: Callable[[bytes], bytes] | None = None

    def feed_data(self, data: bytes) -> None:  # type: ignore[override] # transports give bytes
        if self.filter:
            data = self.filter(data)
        if data:
            super().feed_data(data)


class _Protocol(asyncio.StreamReaderProtocol, asyncio.BufferedProtocol):
    """A reader's protocol that receives into a buffer of its own. For each read, asyncio would take memory from the system and give it back."""

    def __init__(self, reader: _Reader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._reader = reader
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.feed_data(bytes(self._buffer[:nbytes]))


class OpenTransport(TcpTransport):
    """A connection that is already open when nats-py gets it."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter, greeting: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer
        self._reader = reader
        self._writer = writer
        self._greeting = greeting

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Do nothing: the connection is open."""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Do nothing: a connection that has to be encrypted is."""

    async def readline(self) -> bytes:
        greeting, self._greeting = self._greeting, b""
        return greeting or await self._reader.readline()

    def write(self, payload: bytes) -> None:
        self._writer.write(payload)

    def filter_arrivals(self, filtered: Callable[[bytes], bytes]) -> None:
        """Pass what arrives from now on through a function, which returns the bytes for nats-py."""
        self._reader.filter = filtered

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate (DER), or None without TLS."""
        tls = self._writer.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    @property
    def encrypted(self) -> bool:
        return self._writer.get_extra_info("ssl_object") is not None

    def abort(self) -> None:
        """Close at once; a peer that no longer reads could delay an orderly end for ever."""
        # asyncio's fails if the transport was closed with bytes to send, and these have been sent since.
        with contextlib.suppress(AttributeError):
            self._writer.transport.abort()


async def open_transport(
    server: ServerAddress, access: HubAccess, progress: Progress | None = None
) -> OpenTransport:
    """Connect to a server; tls:// is encrypted before this returns. `progress` is kept up to date.

    Raises NameUnknown, Unreachable, TlsFailed, NoTls, NotNats and AccessMistake.
    """
    progress = progress or Progress()
    if not server.tls:
        return await _clear(server, access, progress)
    context = await _context(access)
    reader, writer = await _connected(server, progress)
    progress.stage = Stage.TLS
    try:
        # The server may wait for the handshake (handshake_first), so nothing is read before it.
        await writer.start_tls(context, server_hostname=server.host)
    except ssl.SSLCertVerificationError as error:
        writer.transport.abort()
        raise tls_failure(server, error, access) from error
    except (ssl.SSLError, OSError) as error:
        writer.transport.abort()
        return await _upgraded(server, access, context, error)
    except BaseException:
        writer.transport.abort()
        raise
    progress.stage = Stage.SERVER
    return OpenTransport(reader, writer, await _greeting(server, reader, writer, access))


async def _upgraded(
    server: ServerAddress, access: HubAccess, context: ssl.SSLContext, first: Exception
) -> OpenTransport:
    """Connect to a server that introduces itself before TLS. `first` is the failure of TLS at once."""
    reader, writer = await _connected(server, Progress())
    try:
        try:
            greeting = await reader.readline()
        except (OSError, ValueError):
            greeting = b""
        _require_offer(server, _info(greeting), tls_failure(server, first, access))
        try:
            await writer.start_tls(context, server_hostname=server.host)
        except (ssl.SSLError, OSError) as error:
            raise tls_failure(server, error, access) from error
    except BaseException:
        writer.transport.abort()
        raise
    return OpenTransport(reader, writer, greeting)


def _require_offer(server: ServerAddress, info: dict[str, Any] | None, otherwise: TlsFailed) -> None:
    """Raise NoTls unless a server offers TLS in its description, or `otherwise` if it has none."""
    if info is None:
        raise otherwise
    if not (info.get("tls_required") or info.get("tls_available")):
        raise no_tls(server)


async def _clear(server: ServerAddress, access: HubAccess, progress: Progress) -> OpenTransport:
    """Connect without TLS. A server that requires TLS is encrypted all the same."""
    reader, writer = await _connected(server, progress)
    progress.stage = Stage.SERVER
    greeting = await _greeting(server, reader, writer, access)
    info = _info(greeting) or {}
    if info.get("tls_required"):
        progress.stage = Stage.TLS
        try:
            await writer.start_tls(await _context(access), server_hostname=server.host)
        except (ssl.SSLError, OSError) as error:
            writer.transport.abort()
            raise tls_failure(server, error, access) from error
        except BaseException:
            writer.transport.abort()
            raise
    return OpenTransport(reader, writer, greeting)


async def _context(access: HubAccess) -> ssl.SSLContext:
    """Return the TLS of a new connection, with the certificates as they are now. Raises AccessMistake."""
    return await read_file(access.ca or access.certificate, lambda: tls_context(access))


async def _connected(server: ServerAddress, progress: Progress) -> tuple[_Reader, asyncio.StreamWriter]:
    await _look_up(server)
    progress.stage = Stage.NETWORK
    loop = asyncio.get_running_loop()
    reader = _Reader(limit=_BUFFER, loop=loop)
    try:
        transport, protocol = await loop.create_connection(
            lambda: _Protocol(reader, loop),
            server.host,
            server.port,
            happy_eyeballs_delay=_NEXT_ADDRESS_S,
        )
    except OSError as error:
        raise Unreachable(f"{server}: {_unreachable(error)}") from error
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
    return reader, writer


async def _look_up(server: ServerAddress) -> None:
    """Raise NameUnknown unless the host has an address.

    In a thread of its own: the event loop's would hold up the end of the process while no name server answers.
    """
    lookup = _LOOKUPS.setdefault(server.host, FileThread()).submit(
        lambda: socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    )
    try:
        await lookup.answer(_LOOKUP_S)
    except NoAnswer as error:
        lookup.withdraw()
        raise NameUnknown(
            f"{server}: no name server answers for {server.host} within {_LOOKUP_S:g} s. Check DNS and network."
        ) from error
    except (socket.gaierror, UnicodeError) as error:
        raise NameUnknown(f"{server}: {server.host} has no address. Check the name and DNS.") from error


def _unreachable(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "no server listens there. Start nats-server, or correct host and port."
    # asyncio replaces the text of the number by one with the address.
    fact = os.strerror(error.errno) if error.errno else error_text(error)
    return f"cannot be reached ({fact}). Check network, firewall, host and port."


async def _greeting(
    server: ServerAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, access: HubAccess
) -> bytes:
    """Return the line with which a server introduces itself."""
    try:
        line = await reader.readline()
        if _info(line) is not None:
            return line
    except ssl.SSLError as error:
        failure: TlsFailed = tls_failure(server, error, access)
        raise failure from error
    except (OSError, ValueError):
        line = b""
    except BaseException:
        writer.transport.abort()
        raise
    writer.transport.abort()
    if not line and not server.tls:
        raise NotNats(
            f"{server}: closed the connection before introducing itself. Write tls:// if it serves TLS only."
        )
    raise NotNats(f"{server}: is no NATS server. Correct host and port.")


def _info(line: bytes) -> dict[str, Any] | None:
    """Return the server's description of itself, or None if `line` is none."""
    if not line.startswith(b"INFO "):
        return None
    try:
        info = json.loads(line[5:])
    except ValueError:
        return None
    return info if isinstance(info, dict) else None
