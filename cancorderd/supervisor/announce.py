"""Zeroconf records: one responder for all buses, kept current, withdrawn at the end.

`record` and `addresses` are pure; `Announcer` below them owns the responder. No address is learnt by
contacting an outside host.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, NamedTuple

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from cancorderd.wire import SERVICE_PREFIX, SERVICE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cancorderd.config.model import BusBase

log = logging.getLogger("cancorderd.announce")

_LOOK_EVERY_S = 5.0
"""How often addresses are compared, and a network that was not there is tried again."""
_FAREWELL_S = 1.5


class Introduction(NamedTuple):
    """As whose buses are announced."""

    process: str = "cancorderd"
    title: str = SERVICE_PREFIX
    """What a bus without a name of its own is called, before host and port."""
    text: tuple[tuple[str, str], ...] = ()
    """Goes over what the TXT record says of a bus."""


class Record(NamedTuple):
    """What is announced for one bus."""

    instance: str
    port: int
    addresses: tuple[str, ...]
    text: tuple[tuple[str, str], ...]
    host: str
    """Whose addresses they are. Browsers take those of all records with one host together."""


def record(
    section: BusBase,
    port: int,
    hostname: str,
    own_addresses: Sequence[str],
    introduction: Introduction = Introduction(),  # noqa: B008 - never changed
) -> Record:
    """The record of a bus that listens on `port`; keys of the TXT record as the ancestor has them."""
    text = {
        "system": hostname,
        "process": introduction.process,
        "bus": section.name,
        "interface": section.interface,
        "channel": "" if section.channel is None else str(section.channel),
        "bitrate": str(section.bitrate),
        "port": str(port),
    }
    text |= dict(introduction.text)
    instance = section.service_name or f"{introduction.title} {hostname}:{port}"
    # A host name of its own: another responder of this machine, such as avahi, keeps <hostname>.local
    # and would take different addresses under it for a conflict. So with a bus that has not all of them.
    everywhere = all(ipaddress.ip_address(one.partition("%")[0]).is_unspecified for one in section.listen)
    own = "" if everywhere and len(section.listen) > 1 else f"-{port}"
    host = f"cancorderd-{hostname}{own}.local."
    return Record(instance, port, addresses(section.listen, own_addresses), tuple(text.items()), host)


def addresses(listen: Iterable[str], own: Sequence[str]) -> tuple[str, ...]:
    """The addresses on which `listen` can be reached, of this machine's `own`.

    Loopback addresses are told only where there is nothing else to tell.
    """
    found: list[str] = []
    for one in listen:
        address = ipaddress.ip_address(one.partition("%")[0])
        if address.is_unspecified:
            found += [other for other in own if ipaddress.ip_address(other).version == address.version]
        else:
            found.append(str(address))
    outside = [one for one in dict.fromkeys(found) if not ipaddress.ip_address(one).is_loopback]
    return tuple(outside or dict.fromkeys(found))


def own_addresses() -> list[str]:
    """Every address of every interface, IPv4 first, without zones."""
    found = {
        ip.ip if isinstance(ip.ip, str) else ip.ip[0]
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    }
    return sorted(found, key=lambda one: (ipaddress.ip_address(one).version, int(ipaddress.ip_address(one))))


class Announcer:
    """Keeps the network told. `announce` and `withdraw` return at once; `run` does the work."""

    def __init__(self) -> None:
        self._introduction = Introduction()
        self._hostname = socket.gethostname().partition(".")[0] or "localhost"
        self._wanted: dict[str, tuple[BusBase, int]] = {}
        self._announced: dict[str, tuple[Record, AsyncServiceInfo]] = {}
        self._responder: AsyncZeroconf | None = None
        self._reach: list[str] = []
        # What fails is told once, below; its own warnings come with a trace for each socket.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        self._changed = asyncio.Event()
        self._complaint = ""

    def announce(self, section: BusBase, port: int) -> None:
        if self._wanted.get(section.name) != (section, port):
            self._wanted[section.name] = (section, port)
            self._changed.set()

    def withdraw(self, name: str) -> None:
        if self._wanted.pop(name, None):
            self._changed.set()

    async def run(self, introduction: Introduction | None = None) -> None:
        """Announce, follow addresses as they change, for ever. A network without multicast costs a warning."""
        self._introduction = introduction or Introduction()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._follow()
                    self._complaint = ""
                except (OSError, ZeroconfError) as error:
                    await self._complain(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_EVERY_S)
        finally:
            await self._close()

    async def _follow(self) -> None:
        """Make what is announced what is wanted."""
        own = await asyncio.to_thread(own_addresses)
        wanted = {
            name: record(section, port, self._hostname, own, self._introduction)
            for name, (section, port) in self._wanted.items()
        }
        await self._follow_interfaces(wanted)
        for name in [name for name in self._announced if name not in wanted]:
            await self._take_back(name)
        for name, one in wanted.items():
            if name in self._announced and self._announced[name][0] != one:
                await self._change(name, one)
            if name not in self._announced and one.addresses:
                await self._register(name, one)

    async def _follow_interfaces(self, wanted: dict[str, Record]) -> None:
        """A responder on the interfaces that clients can come from: on loopback where that is all."""
        reach = sorted({address for one in wanted.values() for address in one.addresses})
        if not reach or reach == self._reach:
            return
        version = IPVersion.All if any(":" in address for address in reach) else IPVersion.V4Only
        if self._responder is None:
            self._responder = AsyncZeroconf(interfaces=reach, ip_version=version)
        else:
            await self._responder.async_update_interfaces(reach, version)
        self._reach = reach

    async def _register(self, name: str, one: Record) -> None:
        assert self._responder is not None  # noqa: S101 - `_follow_interfaces` made it
        info = self._info(f"{one.instance}.{SERVICE_TYPE}", one)
        await self._responder.async_register_service(info, allow_name_change=True)
        self._announced[name] = (one, info)
        log.debug("announced as %s", info.name, extra={"bus": name})

    async def _change(self, name: str, one: Record) -> None:
        """Announce the record as it is now; browsers see it change where its name stays, else go and come."""
        before, info = self._announced[name]
        if self._responder and (before.instance, before.port) == (one.instance, one.port) and one.addresses:
            changed = self._info(info.name, one)
            await (await self._responder.async_update_service(changed))
            self._announced[name] = (one, changed)
        else:
            await self._take_back(name)

    def _info(self, name: str, one: Record) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE_TYPE,
            name,
            port=one.port,
            properties=dict(one.text),
            server=one.host,
            parsed_addresses=list(one.addresses),
        )

    async def _take_back(self, name: str) -> None:
        _, info = self._announced.pop(name)
        if self._responder:
            await (await self._responder.async_unregister_service(info))
        log.debug("withdrew %s", info.name, extra={"bus": name})

    async def _complain(self, error: Exception) -> None:
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("Zeroconf: %s. Buses are reachable, but not found by browsing; tried again.", error)
        await self._close()

    async def _close(self) -> None:
        """Withdraw every record; waits no longer than a farewell takes."""
        responder, self._responder = self._responder, None
        self._reach = []
        announced, self._announced = self._announced, {}
        if responder:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(_FAREWELL_S):
                    await responder.async_unregister_all_services()
                for name, (_, info) in announced.items():
                    log.debug("withdrew %s", info.name, extra={"bus": name})
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(_FAREWELL_S):
                    await responder.async_close()
