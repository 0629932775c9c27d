"""Zeroconf records of all buses: announced by a single responder, kept current, withdrawn at the end.

`service_record` makes the records; `Announcer` owns the responder. A failure of one record concerns that record
alone, and nothing here ends the program: buses serve their clients without being announced. No outside host is
contacted to find this machine's addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import ifaddr
from zeroconf import (
    IPVersion,
    NonUniqueNameException,
    NotRunningException,
    RecordUpdateListener,
    ServiceNameAlreadyRegistered,
)
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from cancorderd.file_thread import FileThread, NoAnswer
from cancorderd.printable import printable
from cancorderd.supervisor.machine_lookup import MachineLookup
from cancorderd.supervisor.service_record import Identity, Machine, numbered, page_record, service_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zeroconf import RecordUpdate, Zeroconf

    from cancorderd.config.bus_settings import BusSettings
    from cancorderd.config.web_settings import WebSettings
    from cancorderd.supervisor.service_record import ServiceRecord

log = logging.getLogger("cancorderd.announce")

_CHECK_EVERY_S = 5.0
"""Interval at which addresses and the host name are compared, and failed records are tried again."""
_RECORD_WITHIN_S = 30.0
"""Time for one record to be registered: two seconds, and more for each number that its name needs."""
_FAREWELL_S = 1.5
"""Time for withdrawing the records at the end."""
_HIGHEST_NUMBER = 99
"""Of an instance name that others have, too."""
_CLAIMS, _CLAIMS_WITHIN_S = 15, 10.0
"""Claims to our names that are answered within this time: anybody can send claims (RFC 6762, 8.1)."""


class OwnAddress(NamedTuple):
    """An address of this machine, without its zone, and the index of its interface."""

    address: str
    interface: int


def own_addresses() -> list[OwnAddress]:
    """Return every address of every interface, IPv4 first."""
    found = {
        OwnAddress(ip.ip if isinstance(ip.ip, str) else ip.ip[0], adapter.index or 0)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    }

    def order(own: OwnAddress) -> tuple[int, int, int]:
        address = ipaddress.ip_address(own.address)
        return address.version, int(address), own.interface

    return sorted(found, key=order)


class _Surroundings(NamedTuple):
    """The facts about this machine that records depend on."""

    machine: Machine
    addresses: list[OwnAddress]


class _Announced(NamedTuple):
    """A record on the network."""

    record: ServiceRecord
    info: AsyncServiceInfo
    """Its instance name may have a number that the record's has not."""


class _Failure(NamedTuple):
    """The latest attempt for a bus, if it failed."""

    record: ServiceRecord | None
    """The record that was wanted; None if it had to be withdrawn, or could not even be made."""
    text: str
    at_s: float


_LOOK_WITHIN_S = 10.0
_PAGE = "[web]"
"""Stands for the page among the names of buses."""


class Announcer:
    """Announces buses on the network. `announce` and `withdraw` return at once; `run` does the work."""

    def __init__(
        self,
        *,
        new_responder: Callable[..., AsyncZeroconf] = AsyncZeroconf,
        find_addresses: Callable[[], list[OwnAddress]] = own_addresses,
        find_machine: Callable[[], Machine] | None = None,
        check_every_s: float = _CHECK_EVERY_S,
    ) -> None:
        self._new_responder = new_responder
        self._find_addresses = find_addresses
        self._find_machine = find_machine or MachineLookup()
        self._check_every_s = check_every_s
        self._look_thread = FileThread()
        self._identity = Identity()
        self._surroundings: _Surroundings | None = None
        self._wanted: dict[str, tuple[BusSettings, int]] = {}
        self._page: WebSettings | None = None
        """Settings of the page, if it is announced."""
        self._announced: dict[str, _Announced] = {}
        self._names: dict[str, str] = {}
        """By bus: the instance name, in lower case, that is registered or being registered."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By bus: the work on its record."""
        self._failures: dict[str, _Failure] = {}
        self._claimed: dict[str, tuple[str, int]] = {}
        """By bus: host and port of another service that has taken the same instance name."""
        self._claim_times_s: deque[float] = deque(maxlen=_CLAIMS)
        self._responder: AsyncZeroconf | None = None
        self._responder_failed = False
        """True after a failure that may be the responder's; it is, if no record is announced then."""
        self._interfaces: list[OwnAddress] = []
        """Interfaces on which the responder works, by their addresses."""
        # Failures are logged once, here; zeroconf's own warnings have a trace for each socket.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        self._changed = asyncio.Event()
        self._last_failure = ""

    def announce(self, settings: BusSettings, port: int) -> None:
        if self._wanted.get(settings.name) != (settings, port):
            self._wanted[settings.name] = (settings, port)
            self._changed.set()

    def withdraw(self, name: str) -> None:
        if self._wanted.pop(name, None):
            self._failures.pop(name, None)
            self._changed.set()

    def announce_page(self, settings: WebSettings | None) -> None:
        """Announce the page for browsers, if other machines can reach it."""
        page = settings if settings and not settings.local else None
        if page != self._page:
            self._page = page
            self._changed.set()

    async def run(self, identity: Identity | None = None) -> None:
        """Announce the wanted buses and follow changes of addresses and of the host name, for ever.

        If something fails, a warning is logged, and it is tried again.
        """
        self._identity = identity or Identity()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._synchronize()
                    self._last_failure = ""
                except Exception as error:  # noqa: BLE001 - whatever it is, buses serve without being announced
                    await self._start_over(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._check_every_s):
                        await self._changed.wait()
        finally:
            await self._close()

    async def _synchronize(self) -> None:
        """Start the work on every record that differs from the wanted one. Records do not wait for each other."""
        if self._responder_failed and not self._tasks:
            self._responder_failed = False
            if not self._announced:
                await self._close()
        surroundings = await self._look_around()
        wanted = self._wanted_records(surroundings)
        await self._choose_interfaces(wanted, surroundings.addresses)
        for bus in [*self._announced, *(bus for bus in wanted if bus not in self._announced)]:
            record = wanted.get(bus)
            if self._is_due(bus, record):
                self._tasks[bus] = asyncio.create_task(self._follow(bus, record))

    async def _look_around(self) -> _Surroundings:
        """Return the facts about this machine; those of the last time if they cannot be had just now."""
        try:
            look = self._look_thread.submit(
                lambda: _Surroundings(self._find_machine(), self._find_addresses())
            )
            try:
                self._surroundings = await look.answer(_LOOK_WITHIN_S)
            except NoAnswer:
                if look.withdraw():
                    raise OSError(errno.EAGAIN, "no thread could look for network addresses") from None
                self._surroundings = await look.answer(within_s=None)
        except OSError as error:  # too many open files, no thread
            if self._surroundings is None:
                raise
            log.debug("network addresses: %s", error)
        return self._surroundings

    def _wanted_records(self, surroundings: _Surroundings) -> dict[str, ServiceRecord]:
        """Return the records by bus, without those that no address can reach, or that cannot be made."""
        records = {}
        machine = surroundings.machine
        addresses = list(dict.fromkeys(own.address for own in surroundings.addresses))
        if self._page and (page := page_record(self._page, machine, addresses)).addresses:
            records[_PAGE] = page
        for bus, (settings, port) in self._wanted.items():
            try:
                record = service_record(settings, port, machine, addresses, self._identity)
            except Exception as error:  # noqa: BLE001 - it concerns this record alone
                self._fail(bus, None, error)
                continue
            if record.addresses:
                records[bus] = record
        return records

    def _is_due(self, bus: str, record: ServiceRecord | None) -> bool:
        if bus in self._tasks:
            return False
        announced = self._announced.get(bus)
        if (announced.record if announced else None) == record and bus not in self._claimed:
            return False
        failure = self._failures.get(bus)
        now_s = asyncio.get_running_loop().time()
        return not failure or failure.record != record or now_s - failure.at_s >= self._check_every_s

    async def _choose_interfaces(self, wanted: dict[str, ServiceRecord], own: list[OwnAddress]) -> None:
        """Run the responder on the interfaces that clients can come from; this may be loopback alone."""
        reachable = {address for record in wanted.values() for address in record.addresses}
        interfaces = [address for address in own if address.address in reachable]
        if not interfaces:
            return
        addresses = _addresses(interfaces)
        version = IPVersion.All if any(":" in address for address in addresses) else IPVersion.V4Only
        if self._responder is None:
            self._responder = self._new_responder(interfaces=addresses, ip_version=version)
            self._responder.zeroconf.async_add_listener(_ClaimListener(self._notice_claim), None)
        elif interfaces != self._interfaces or len(self._responder.zeroconf.engine.senders) < len(addresses):
            # The sockets of an interface that was plugged in again belong to the one that is gone.
            lasting = _addresses(address for address in interfaces if address in self._interfaces)
            if set(_addresses(self._interfaces)) & set(addresses) - set(lasting):
                await self._responder.async_update_interfaces(lasting, version)
            await self._responder.async_update_interfaces(addresses, version)
        self._interfaces = interfaces

    async def _follow(self, bus: str, record: ServiceRecord | None) -> None:
        """Make the announced record of a bus equal to the wanted one. Raises nothing."""
        try:
            async with asyncio.timeout(_RECORD_WITHIN_S):
                await self._put_in_force(bus, record)
            self._failures.pop(bus, None)
        except Exception as error:  # noqa: BLE001 - zeroconf raises many kinds; it concerns this record alone
            self._fail(bus, record, error)
        finally:
            if self._tasks.get(bus) is asyncio.current_task():
                del self._tasks[bus]
                self._changed.set()

    async def _put_in_force(self, bus: str, record: ServiceRecord | None) -> None:
        assert self._responder is not None  # noqa: S101 - `_choose_interfaces` made it
        if bus in self._claimed and bus in self._announced:
            await self._answer_claim(bus, self._claimed.pop(bus))
        self._claimed.pop(bus, None)
        announced = self._announced.get(bus)
        if announced and announced.record != record:
            await self._update(bus, record)
        if record and bus not in self._announced:
            await self._register(bus, record)

    async def _register(self, bus: str, record: ServiceRecord) -> None:
        """Register a record under its instance name, or with a number if another service has that name."""
        assert self._responder is not None  # noqa: S101 - `_choose_interfaces` made it
        for number in range(1, _HIGHEST_NUMBER + 1):
            instance = numbered(record.instance, number)
            if instance.lower() in self._names.values():
                continue
            self._names[bus] = instance.lower()
            info = _service_info(f"{instance}.{record.service}", record)
            try:
                broadcast = await self._responder.async_register_service(info)
            except (NonUniqueNameException, ServiceNameAlreadyRegistered):
                continue
            except BaseException:
                self._names.pop(bus, None)
                raise
            self._announced[bus] = _Announced(record, info)
            log.debug("announced as %s", info.name, extra={"bus": bus})
            await broadcast
            return
        self._names.pop(bus, None)
        raise NonUniqueNameException(f'{_HIGHEST_NUMBER} services are named "{record.instance}"')

    async def _update(self, bus: str, record: ServiceRecord | None) -> None:
        """Update a record. If its name or port changes, unregister it: browsers have to see it go and come."""
        assert self._responder is not None  # noqa: S101 - `_choose_interfaces` made it
        before, info = self._announced[bus]
        if record and (before.instance, before.port) == (record.instance, record.port):
            changed = _service_info(info.name, record)
            broadcast = await self._responder.async_update_service(changed)
            self._announced[bus] = _Announced(record, changed)
            await broadcast
        else:
            await self._unregister(bus)

    async def _unregister(self, bus: str) -> None:
        assert self._responder is not None  # noqa: S101 - `_choose_interfaces` made it
        _, info = self._announced.pop(bus)
        try:
            await (await self._responder.async_unregister_service(info))
        finally:
            self._names.pop(bus, None)
        log.debug("withdrew %s", info.name, extra={"bus": bus})

    def _notice_claim(self, instance: str, host: str, port: int) -> None:
        """Remember that another service says to be the instance; our own records come back to us, too."""
        for bus, (record, info) in self._announced.items():
            if info.key == instance and (host, port) != (record.host.lower(), record.port):
                if bus not in self._claimed and self._may_answer():
                    self._claimed[bus] = (host, port)
                    self._changed.set()
                return

    def _may_answer(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if len(self._claim_times_s) == _CLAIMS and now_s - self._claim_times_s[0] < _CLAIMS_WITHIN_S:
            return False
        self._claim_times_s.append(now_s)
        return True

    async def _answer_claim(self, bus: str, claimant: tuple[str, int]) -> None:
        """Repeat our record if the name is ours; otherwise leave the name to the other service.

        Probing finds most other services before the name is used, but not those that start in the same second,
        or come from a network that is joined later (RFC 6762, 9). Both sides decide alike: the lesser host wins.
        """
        assert self._responder is not None  # noqa: S101 - `_choose_interfaces` made it
        record, info = self._announced[bus]
        if (record.host.lower(), record.port) < claimant:
            await (await self._responder.async_update_service(info))
            return
        log.info(
            '"%s" is also announced by %s: this bus gets another name',
            info.get_name(), printable(f"{claimant[0]}:{claimant[1]}"), extra={"bus": bus},
        )  # fmt: skip
        # Without a farewell, at which browsers would forget the other service, too.
        self._responder.zeroconf.registry.async_remove(info)
        del self._announced[bus]
        self._names.pop(bus, None)

    def _fail(self, bus: str, record: ServiceRecord | None, error: Exception) -> None:
        """Log the failure of one record, unless it is the same as before."""
        text = printable(str(error)) or type(error).__name__
        before = self._failures.get(bus)
        self._failures[bus] = _Failure(record, text, asyncio.get_running_loop().time())
        if before is None or before.text != text:
            log.warning(
                "Zeroconf: %s. The bus is reachable, but cannot be found by browsing. Trying again.",
                text, extra={"bus": bus},
            )  # fmt: skip
        if isinstance(error, (OSError, NotRunningException)):
            self._responder_failed = True

    async def _start_over(self, error: Exception) -> None:
        """Log a failure of all records, unless it is the same as before, and continue with a new responder."""
        text = printable(str(error)) or type(error).__name__
        if text != self._last_failure:
            self._last_failure = text
            log.warning(
                "Zeroconf: %s. Buses are reachable, but cannot be found by browsing. Trying again.", text
            )
        await self._close()

    async def _close(self) -> None:
        """Withdraw every record, within a bounded time. Raises nothing but CancelledError."""
        tasks = list(self._tasks.values())
        self._tasks = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        responder, self._responder = self._responder, None
        self._interfaces = []
        self._responder_failed = False
        announced, self._announced, self._names, self._claimed = self._announced, {}, {}, {}
        if responder:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL_S):
                    await responder.async_unregister_all_services()
                for bus, (_, info) in announced.items():
                    log.debug("withdrew %s", info.name, extra={"bus": bus})
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL_S):
                    await responder.async_close()


class _ClaimListener(RecordUpdateListener):
    """Calls `notice` with instance, host and port of each announced service of our type, ours included."""

    def __init__(self, notice: Callable[[str, str, int], None]) -> None:
        self._notice = notice

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        del zc
        for update in records:
            record = update.new
            host, port = (
                getattr(record, "server", None),
                getattr(record, "port", None),
            )  # of SRV records alone
            if host and port and not record.is_expired(now):
                self._notice(record.key, host.lower(), port)


def _addresses(interfaces: Iterable[OwnAddress]) -> list[str]:
    return sorted({own.address for own in interfaces})


def _service_info(name: str, record: ServiceRecord) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        record.service,
        name,
        port=record.port,
        properties=dict(record.text),
        server=record.host,
        parsed_addresses=list(record.addresses),
    )
