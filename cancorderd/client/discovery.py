"""Search for loggers on the network, by Zeroconf. Its library is imported only when it is used."""

from __future__ import annotations

import ipaddress
import queue
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from cancorderd.client.errors import DiscoveryFailed
from cancorderd.printable import printable
from cancorderd.protocol.service_names import SERVICE_TYPE

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf
    from zeroconf._dns import DNSRecord

_RESOLVE_MS = 1500
"""Time for a logger to announce its address after its name; most announce both together."""
_RESOLVED_AT_ONCE = 1000
"""Names whose addresses are searched for at the same time: more than a network has loggers."""
_QUERY_AGAIN_S = 0.5
"""Time after a query that failed; a neighbour that makes each of them fail causes no flood."""
_LONGEST_LABEL = 63
"""Bytes (RFC 1035, 2.3.4)."""
_ADDRESSES = 32
"""Addresses of a logger that are used: more than a machine has networks in common with this one."""


class Logger(NamedTuple):
    """A logger as it announces itself. Texts are printable, whatever it sends."""

    name: str
    """Instance name, such as "ECUconnect-Logger rack:42420"; no two on a network have the same."""
    host: str
    """Name of its machine in the local network, such as "cancorderd-rack.local"."""
    addresses: tuple[str, ...]
    """IPv4 addresses first; with a zone if an address needs it ("fe80::1%eth0")."""
    port: int
    """TCP port."""
    text: dict[str, str]
    """Its TXT record: system, process, interface, channel, bitrate (bit/s), port; from cancorderd also bus."""


class Change(NamedTuple):
    """A logger that was found or is gone. A "found" is repeated if the logger's record changes."""

    kind: Literal["found", "gone"]
    logger: Logger


def discover(timeout_s: float = 3.0) -> list[Logger]:
    """Return the loggers that answer within `timeout_s` seconds, sorted by name. Always takes the full time.

    Less than 2 s can be too short: a logger that has just answered somebody else waits a second.
    Raises DiscoveryFailed.
    """
    found: dict[str, Logger] = {}
    end_s = time.monotonic() + timeout_s
    with browse() as browser:
        while (left_s := end_s - time.monotonic()) > 0 and (change := browser.next(left_s)):
            if change.kind == "found":
                found[change.logger.name] = change.logger
            else:
                found.pop(change.logger.name, None)
    return sorted(found.values())


def browse() -> Browser:
    """Return a browser that follows loggers as they come and go: iterate over it in a `with` block.

    Raises DiscoveryFailed.
    """
    return Browser()


class Browser:
    """Iterator over changes on every interface of this machine, including loopback, until it is closed."""

    def __init__(self) -> None:
        """Raises DiscoveryFailed."""
        import zeroconf  # noqa: PLC0415 - most clients know an address and do not need it

        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._known: dict[str, Logger] = {}
        self._resolving: dict[str, Future[Logger | None]] = {}
        """By instance name: the latest search for its address."""
        self._closed = False
        self._removed = zeroconf.ServiceStateChange.Removed
        try:
            self._zeroconf = _on_every_interface()
        except OSError as error:
            raise DiscoveryFailed(
                f"Zeroconf: {error}. Connect this machine to a network, or name the logger's address and port."
            ) from error
        self._browser = zeroconf.ServiceBrowser(self._zeroconf, SERVICE_TYPE, handlers=[self._on_change])
        self._querying_again = False
        if self._zeroconf.loop:
            self._zeroconf.loop.set_exception_handler(self._on_failure)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        while not self._closed:
            if change := self.next(3600.0):
                return change
        raise StopIteration

    def next(self, timeout_s: float) -> Change | None:
        """Return the next change, or None if there is none within `timeout_s` seconds or the browser is closed."""
        end_s = time.monotonic() + timeout_s
        while not self._closed:
            try:
                event = self._events.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                return None
            if event and (change := self._handle(event)):
                return change
        return None

    def close(self) -> None:
        """Stop browsing. Called from another thread, this ends an iteration that waits."""
        self._closed = True
        self._events.put(None)
        for search in list(self._resolving.values()):
            search.cancel()
        self._zeroconf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Called by zeroconf in a thread of its own, with these argument names."""
        del zeroconf, service_type
        self._events.put(_Event(name, None, gone=state_change is self._removed))

    def _on_failure(self, loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
        """Go on after a failure in zeroconf's loop, where asyncio would print a trace and zeroconf would query no more.

        A query lists the known instances, and zeroconf cannot write every name that it has read
        (NamePartTooLongException): one neighbour's record would end all further queries.
        """
        if self._querying_again:
            return
        self._querying_again = True
        loop.call_later(_QUERY_AGAIN_S, self._query_again, loop)

    def _query_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._querying_again = False
        cache = self._zeroconf.cache
        records = cache.async_entries_with_name(SERVICE_TYPE)
        cache.async_remove_records([record for record in records if not _can_be_written(record)])
        self._browser.query_scheduler.start(loop)

    def _handle(self, event: _Event) -> Change | None:
        if event.gone:
            self._resolving.pop(event.name, None)
            logger = self._known.pop(event.name, None)
            return Change("gone", logger) if logger else None
        if event.search is None:
            self._resolve(event.name)
            return None
        if self._resolving.get(event.name) is not event.search:
            return None  # it is gone, or has changed again
        del self._resolving[event.name]
        logger = event.search.result()
        if logger is None or self._known.get(event.name) == logger:
            return None
        self._known[event.name] = logger
        return Change("found", logger)

    def _resolve(self, name: str) -> None:
        """Search for the address of a logger. Loggers do not wait for each other: some never answer."""
        if len(self._resolving) >= _RESOLVED_AT_ONCE and name not in self._resolving:
            return
        import asyncio  # noqa: PLC0415 - zeroconf has imported it

        assert self._zeroconf.loop  # noqa: S101 - it runs in a thread
        search = asyncio.run_coroutine_threadsafe(self._find(name), self._zeroconf.loop)
        self._resolving[name] = search
        search.add_done_callback(
            lambda search: None if search.cancelled() else self._events.put(_Event(name, search))
        )

    async def _find(self, name: str) -> Logger | None:
        """Return the logger of this instance name; None if it does not answer, or not with a valid record.

        Records come from anybody on the network, and zeroconf raises exceptions of many kinds for those that it
        does not accept, such as names with control characters.
        """
        try:
            info = await self._zeroconf.async_get_service_info(SERVICE_TYPE, name, timeout=_RESOLVE_MS)
            return _logger(info) if info else None
        except Exception:  # noqa: BLE001 - as above; other loggers are still wanted
            return None


class _Event(NamedTuple):
    """News about an instance name: it was seen or is gone, or the search for its address has ended."""

    name: str
    search: Future[Logger | None] | None
    gone: bool = False


def _on_every_interface() -> Zeroconf:
    """Raises OSError."""
    import ifaddr  # noqa: PLC0415
    from zeroconf import InterfaceChoice, IPVersion, Zeroconf  # noqa: PLC0415

    # Checked here, since zeroconf leaks a socket if it finds no address.
    if not any(adapter.ips for adapter in ifaddr.get_adapters()):
        raise OSError("no interface has an address")
    return Zeroconf(InterfaceChoice.All, ip_version=IPVersion.All)


def _can_be_written(record: DNSRecord) -> bool:
    """Return whether the instance name in a record fits a packet."""
    try:
        labels = getattr(record, "alias", "").encode().split(b".")
    except UnicodeEncodeError:
        return False
    return all(len(label) <= _LONGEST_LABEL for label in labels)


def _logger(info: ServiceInfo) -> Logger | None:
    """Return the logger that a record describes, or None if the record has no address or port."""
    addresses = sorted(filter(_names_a_machine, info.parsed_scoped_addresses()), key=lambda text: ":" in text)
    del addresses[_ADDRESSES:]
    if not info.port or not addresses:
        return None
    text = {_readable(key): _readable(value or b"") for key, value in info.properties.items()}
    name = printable(info.name.removesuffix(f".{SERVICE_TYPE}"))
    return Logger(name, printable((info.server or "").rstrip(".")), tuple(addresses), info.port, text)


def _names_a_machine(address: str) -> bool:
    """Return whether an address can be a machine's; connecting to 0.0.0.0 would reach this one."""
    found = ipaddress.ip_address(address)
    return not (found.is_unspecified or found.is_multicast)


def _readable(data: bytes) -> str:
    return printable(data.decode("utf-8", "replace"))
