"""Which loggers are on the network: browsing by Zeroconf. Imports its library only when asked."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from cancorderd.client.errors import DiscoveryFailed
from cancorderd.wire import SERVICE_TYPE

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf

_RESOLVE_MS = 1500
"""How long a logger that was heard of may take to tell its address. Most tell it along with their name."""


class Logger(NamedTuple):
    """A logger as it announces itself."""

    name: str
    """Instance name, such as "ECUconnect-Logger rack:42420"; no two on a network have the same."""
    host: str
    """Name of its machine in the local network, such as "cancorderd-rack.local"."""
    addresses: tuple[str, ...]
    """Where it can be reached, IPv4 first; those that need it with a zone ("fe80::1%eth0")."""
    port: int
    """TCP port."""
    text: dict[str, str]
    """What it says about itself: system, process, interface, channel, bitrate (bit/s), port; ours also bus."""


class Change(NamedTuple):
    """What happened to a logger. "found" comes again where its record changes."""

    kind: Literal["found", "gone"]
    logger: Logger


def discover(timeout_s: float = 3.0) -> list[Logger]:
    """Each logger that answers within `timeout_s` seconds, sorted by name. Takes all of this time.

    Less than 2 s can be too few: a logger that has answered someone else waits a second.
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
    """Follow loggers as they come and go: iterate over what is returned, in a `with` block.

    Raises DiscoveryFailed.
    """
    return Browser()


class Browser:
    """Changes as they are heard, on every interface of this machine, loopback too, until it is closed."""

    def __init__(self) -> None:
        """Raises DiscoveryFailed."""
        import zeroconf  # noqa: PLC0415 - most clients are told an address, and need not load it

        self._heard: queue.SimpleQueue[tuple[str, ServiceStateChange] | None] = queue.SimpleQueue()
        self._known: dict[str, Logger] = {}
        self._closed = False
        self._removed = zeroconf.ServiceStateChange.Removed
        try:
            self._zeroconf = _on_every_interface()
        except OSError as error:
            raise DiscoveryFailed(
                f"Zeroconf: {error}. Connect this machine to a network, or name the logger's address and port."
            ) from error
        self._browser = zeroconf.ServiceBrowser(self._zeroconf, SERVICE_TYPE, handlers=[self._hear])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        while not self._closed:
            if change := self.next(3600.0):
                return change
        raise StopIteration

    def next(self, timeout_s: float) -> Change | None:
        """The next change, or None where there is none within `timeout_s` seconds, and once this is closed."""
        end_s = time.monotonic() + timeout_s
        while not self._closed:
            try:
                heard = self._heard.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                return None
            if heard and (change := self._change(*heard, end_s)):
                return change
        return None

    def close(self) -> None:
        """Stop listening. From another thread, it ends an iteration that waits."""
        self._closed = True
        self._heard.put(None)
        self._zeroconf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Called by the library, in a thread of its own, with these names."""
        del zeroconf, service_type
        self._heard.put((name, state_change))

    def _change(self, name: str, state: ServiceStateChange, end_s: float) -> Change | None:
        if state is self._removed:
            logger = self._known.pop(name, None)
            return Change("gone", logger) if logger else None
        left_ms = int(1000 * (end_s - time.monotonic()))
        info = self._zeroconf.get_service_info(SERVICE_TYPE, name, timeout=max(1, min(_RESOLVE_MS, left_ms)))
        logger = _logger(info) if info else None
        if logger is None or self._known.get(name) == logger:
            return None
        self._known[name] = logger
        return Change("found", logger)


def _on_every_interface() -> Zeroconf:
    """Raises OSError."""
    import ifaddr  # noqa: PLC0415 - as above
    from zeroconf import InterfaceChoice, IPVersion, Zeroconf  # noqa: PLC0415

    # Asked here, since the library leaves a socket open where it finds none.
    if not any(adapter.ips for adapter in ifaddr.get_adapters()):
        raise OSError("no interface has an address")
    return Zeroconf(InterfaceChoice.All, ip_version=IPVersion.All)


def _logger(info: ServiceInfo) -> Logger | None:
    """What a record says; None for one that says not where to connect."""
    addresses = sorted(info.parsed_scoped_addresses(), key=lambda one: ":" in one)
    if not info.port or not addresses:
        return None
    text = {
        key.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace")
        for key, value in info.properties.items()
    }
    name = info.name.removesuffix(f".{SERVICE_TYPE}")
    return Logger(name, (info.server or "").rstrip("."), tuple(addresses), info.port, text)
