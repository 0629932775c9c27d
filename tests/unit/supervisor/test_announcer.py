"""The announcer with a fake responder. The lab tests that avahi finds the records."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from zeroconf import NonUniqueNameException, RecordUpdate, ServiceNameAlreadyRegistered
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.asyncio import AsyncServiceInfo

from cancorderd.supervisor.announcer import Announcer, OwnAddress, own_addresses
from cancorderd.supervisor.service_record import Identity, Machine
from tests.support.harness import PATIENCE_S
from tests.unit.supervisor.fakes import in_event_loop, mock_settings, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zeroconf import RecordUpdateListener
    from zeroconf.asyncio import AsyncZeroconf

TYPE = "_ecuconnect-log._tcp.local."


def test_own_addresses_are_addresses() -> None:
    found = own_addresses()
    assert "127.0.0.1" in [own.address for own in found]
    assert all(ipaddress.ip_address(own.address) and own.interface > 0 for own in found)


class FakeResponder:
    """Notes every call, in place of a responder on the network."""

    def __init__(self, network: Network, interfaces: list[str]) -> None:
        self._network = network
        network.calls.append(("open", interfaces))
        self.zeroconf = self
        self.registry = self
        self.engine = self
        self.senders = interfaces[: network.works_at_first]

    def async_add_listener(self, listener: RecordUpdateListener, _question: None) -> None:
        self._network.listener = listener

    async def async_update_interfaces(self, interfaces: list[str], _version: object) -> None:
        self._network.calls.append(("interfaces", interfaces))
        self.senders = interfaces

    async def async_register_service(self, info: AsyncServiceInfo) -> asyncio.Future[None]:
        self._network.probing += 1
        await self._network.probed.wait()
        if failure := self._network.failure or self._network.failures.get(info.get_name()):
            raise failure
        if info.key in self._network.foreign:
            raise NonUniqueNameException
        if info.name in self._network.records:
            raise ServiceNameAlreadyRegistered
        self._network.calls.append(("register", info.name))
        self._network.records[info.name] = info
        return done()

    async def async_update_service(self, info: AsyncServiceInfo) -> asyncio.Future[None]:
        self._network.calls.append(("update", info.name))
        self._network.records[info.name] = info
        return done()

    async def async_unregister_service(self, info: AsyncServiceInfo) -> asyncio.Future[None]:
        self._network.calls.append(("unregister", info.name))
        del self._network.records[info.name]
        return done()

    def async_remove(self, info: AsyncServiceInfo) -> None:
        self._network.calls.append(("forget", info.name))
        del self._network.records[info.name]

    async def async_unregister_all_services(self) -> None:
        self._network.calls.append(("unregister all", ""))
        self._network.records.clear()

    async def async_close(self) -> None:
        self._network.calls.append(("close", ""))


def done() -> asyncio.Future[None]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


class Network:
    """What is announced, and how it came about."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.records: dict[str, AsyncServiceInfo] = {}
        self.failure: Exception | None = None
        self.failures: dict[str, Exception] = {}
        """Failures of single records, by instance name."""
        self.foreign: set[str] = set()
        """Names of others' services, in lower case."""
        self.probing = 0
        """Number of registrations that have begun."""
        self.probed = asyncio.Event()
        """Registrations wait for it."""
        self.probed.set()
        self.listener: RecordUpdateListener | None = None
        self.machine = Machine("rack", "0123abcd")
        self.addresses = ["127.0.0.1", "192.168.1.5"]
        self.index = 2
        """Index of the network interface, which has all addresses but the first."""
        self.works_at_first: int | None = None
        """Number of interfaces on which a new responder works; None for all."""
        self.address_failure: Exception | None = None
        self.lookups = 0
        """Number of times that the addresses were looked up."""

    def announcer(self) -> Announcer:
        def new_responder(*, interfaces: list[str], ip_version: object) -> AsyncZeroconf:
            return cast("AsyncZeroconf", FakeResponder(self, interfaces))

        return Announcer(
            new_responder=new_responder,
            find_addresses=self._find_addresses,
            find_machine=lambda: self.machine,
            check_every_s=0.01,
        )

    def _find_addresses(self) -> list[OwnAddress]:
        self.lookups += 1
        if self.address_failure:
            raise self.address_failure
        return [
            OwnAddress(address, self.index if number else 1) for number, address in enumerate(self.addresses)
        ]

    def addresses_of_records(self) -> list[list[str]]:
        return [info.parsed_addresses() for info in self.records.values()]

    def names(self) -> set[str]:
        return {info.get_name() for info in self.records.values()}

    def receive_claim(self, name: str, host: str, port: int) -> None:
        """Let the announcer receive another service's record of this name."""
        assert self.listener
        service = service_packet(name, host, port)
        self.listener.async_update_records(
            cast("Any", None), service.now, [RecordUpdate(record, None) for record in service.answers()]
        )


def service_packet(name: str, host: str, port: int) -> DNSIncoming:
    out = DNSOutgoing(0x8400)
    out.add_answer_at_time(AsyncServiceInfo(TYPE, f"{name}.{TYPE}", port=port, server=host).dns_service(), 0)
    return DNSIncoming(out.packets()[0])


@contextlib.asynccontextmanager
async def running(announcer: Announcer, identity: Identity | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(announcer.run(identity))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_event_loop
async def test_the_announcer_ends_even_if_a_bus_changes_at_the_same_moment() -> None:
    announcer = Network().announcer()
    for number in range(50):
        task = asyncio.create_task(announcer.run())
        await asyncio.sleep(0.002)
        announcer.announce(mock_settings(f"bus{number}"), 42420 + number)
        await asyncio.sleep(0)  # the wait for a change has ended, and nobody has looked yet
        task.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(task, return_exceptions=True)


@in_event_loop
async def test_buses_are_registered_and_withdrawn() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a", service_name="ECUconnect-Logger a"), 42420)
    announcer.announce(mock_settings("b", service_name="ECUconnect-Logger b"), 42421)
    async with running(announcer, Identity("canlogger")):
        await until(lambda: len(network.records) == 2)
        record = next(iter(network.records.values()))
        assert record.name == "ECUconnect-Logger a._ecuconnect-log._tcp.local."
        assert (record.port, record.parsed_addresses()) == (42420, ["192.168.1.5"])
        assert record.decoded_properties["process"] == "canlogger"
        announcer.withdraw("a")
        await until(lambda: len(network.records) == 1)
    assert network.records == {}, "withdrawn at the end"
    assert network.calls[-2:] == [("unregister all", ""), ("close", "")]


@in_event_loop
async def test_records_follow_the_addresses_of_the_machine() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.addresses_of_records() == [["192.168.1.5"]])
        network.addresses.append("10.0.0.7")
        await until(lambda: network.addresses_of_records() == [["192.168.1.5", "10.0.0.7"]])
        assert [call for call, _ in network.calls] == ["open", "register", "interfaces", "update"]
        assert network.calls[2][1] == ["10.0.0.7", "192.168.1.5"]


@in_event_loop
async def test_a_record_with_another_name_or_port_is_registered_again() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a", service_name="ECUconnect-Logger a"), 42420)
    async with running(announcer):
        await until(lambda: network.records)
        network.calls.clear()
        announcer.announce(mock_settings("a", service_name="ECUconnect-Logger new"), 42420)
        await until(lambda: "ECUconnect-Logger new._ecuconnect-log._tcp.local." in network.records)
        assert [call for call, _ in network.calls] == ["unregister", "register"]
        announcer.announce(mock_settings("a", service_name="ECUconnect-Logger new"), 42421)
        await until(lambda: [info.port for info in network.records.values()] == [42421])


@in_event_loop
async def test_a_machine_without_addresses_announces_nothing_until_it_has_some() -> None:
    network = Network()
    network.addresses = []
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.lookups >= 3)
        assert network.calls == []
        network.addresses = ["192.168.1.5"]
        await until(lambda: network.records)


@in_event_loop
async def test_a_failure_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    network = Network()
    network.failure = OSError("Network is unreachable")
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    with caplog.at_level(logging.WARNING, "cancorderd.announce"):
        async with running(announcer):
            await until(lambda: network.calls.count(("close", "")) >= 3)
            assert caplog.text.count("Network is unreachable. The bus is reachable, but cannot be found") == 1
            network.failure = None
            await until(lambda: network.records)
            # A later failure of the same kind is news again.
            network.failure = OSError("Network is unreachable")
            announcer.announce(mock_settings("b"), 42421)
            await until(lambda: caplog.text.count("Network is unreachable") == 2)


@in_event_loop
@pytest.mark.parametrize(
    "failure",
    [
        ValueError("TXT string too long"),
        UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"),
        AssertionError(),
        OSError("Network is unreachable"),
        TimeoutError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_record_that_fails_costs_no_other_record(
    caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    network = Network()
    network.failures["ECUconnect-Logger a"] = failure
    announcer = network.announcer()
    for bus, port in (("a", 42420), ("b", 42421), ("c", 42422)):
        announcer.announce(mock_settings(bus, service_name=f"ECUconnect-Logger {bus}"), port)
    async with running(announcer):
        await until(lambda: len(network.records) == 2)
        probes = network.probing
        await until(lambda: network.probing >= probes + 2)
        assert network.names() == {"ECUconnect-Logger b", "ECUconnect-Logger c"}
        assert [call for call, _ in network.calls] == ["open", "register", "register"], "they do not flap"
        assert caplog.text.count("Trying again.") == 1
        network.failures.clear()
        await until(lambda: "ECUconnect-Logger a" in network.names())


@in_event_loop
async def test_records_are_registered_side_by_side() -> None:
    network = Network()
    network.probed.clear()
    announcer = network.announcer()
    for port in range(42420, 42432):
        announcer.announce(mock_settings(f"bus{port}"), port)
    async with running(announcer):
        await until(lambda: network.probing == 12)
        network.probed.set()
        await until(lambda: len(network.records) == 12)


@in_event_loop
async def test_a_registration_that_takes_long_delays_no_later_bus() -> None:
    network = Network()
    network.probed.clear()
    announcer = network.announcer()
    announcer.announce(mock_settings("slow"), 42420)
    async with running(announcer):
        await until(lambda: network.probing == 1)
        announcer.announce(mock_settings("later"), 42421)
        await until(lambda: network.probing == 2)


@in_event_loop
async def test_a_changed_host_name_is_followed() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    announcer.announce(mock_settings("b", service_name="ECUconnect-Logger b"), 42421)
    async with running(announcer):
        await until(lambda: network.names() == {"ECUconnect-Logger a rack:42420", "ECUconnect-Logger b"})
        network.machine = Machine("bench", "0123abcd")
        await until(lambda: network.names() == {"ECUconnect-Logger a bench:42420", "ECUconnect-Logger b"})
        hosts = {info.server for info in network.records.values()}
        await until(lambda: {info.server for info in network.records.values()} != hosts or len(hosts) == 1)
        assert {info.server for info in network.records.values()} == {"cancorderd-bench-0123abcd.local."}
        assert {info.decoded_properties["system"] for info in network.records.values()} == {"bench"}


@in_event_loop
async def test_addresses_that_cannot_be_looked_up_just_now_stay_announced() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.records)
        network.address_failure = OSError(24, "Too many open files")
        before = network.lookups
        await until(lambda: network.lookups > before + 2)
        assert network.addresses_of_records() == [["192.168.1.5"]]
        announcer.announce(mock_settings("b"), 42421)
        await until(lambda: len(network.records) == 2)


@in_event_loop
async def test_an_interface_that_was_plugged_in_again_gets_new_sockets() -> None:
    network = Network()
    network.addresses = ["127.0.0.1", "192.168.1.5"]
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.records)
        network.calls.clear()
        network.index = 7
        await until(lambda: len(network.calls) >= 2)
        assert network.calls == [("interfaces", []), ("interfaces", ["192.168.1.5"])]
        assert len(network.records) == 1, "the record stays"


@in_event_loop
async def test_an_interface_on_which_the_responder_does_not_work_yet_is_tried_again() -> None:
    network = Network()
    network.addresses = ["127.0.0.1", "192.168.1.5", "fd00::5"]
    network.works_at_first = 1
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: ("interfaces", ["192.168.1.5", "fd00::5"]) in network.calls)
        before = len(network.calls)
        lookups = network.lookups
        await until(lambda: network.lookups > lookups + 2)
        assert len(network.calls) <= before + 1, "the registration; the interfaces are complete"


@in_event_loop
async def test_no_exception_ends_the_announcer(caplog: pytest.LogCaptureFixture) -> None:
    network = Network()
    network.address_failure = KeyError("a bug")
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.lookups > 2)
        assert caplog.text.count("Buses are reachable, but cannot be found") == 1
        network.address_failure = None
        await until(lambda: network.records)


@in_event_loop
async def test_names_that_others_have_get_a_number() -> None:
    network, name = Network(), "ECUconnect-Logger {host}:{port}"
    network.foreign = {f"ecuconnect-logger rack:42420.{TYPE}", f"ecuconnect-logger rack:42420-2.{TYPE}"}
    announcer = network.announcer()
    announcer.announce(mock_settings("a", service_name=name), 42420)
    announcer.announce(mock_settings("b", service_name=name, listen=["192.168.1.5"]), 42420)
    async with running(announcer):
        await until(lambda: len(network.records) == 2)
        assert network.names() == {"ECUconnect-Logger rack:42420-3", "ECUconnect-Logger rack:42420-4"}


@in_event_loop
async def test_of_two_that_claim_a_name_the_lesser_host_keeps_it() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.records)
        network.calls.clear()
        network.receive_claim("ECUconnect-Logger a rack:42420", "cancorderd-rack-0123abcd.local.", 42420)
        network.receive_claim("ECUconnect-Logger other:42420", "cancorderd-other-00000000.local.", 42420)
        network.receive_claim("ECUconnect-Logger a rack:42420", "cancorderd-rack-FFFFFFFF.local.", 42420)
        await until(lambda: network.calls)
        assert network.calls == [("update", f"ECUconnect-Logger a rack:42420.{TYPE}")], "ours is repeated"
        network.calls.clear()
        network.foreign = {f"ecuconnect-logger a rack:42420.{TYPE}"}
        network.receive_claim("ECUconnect-Logger a rack:42420", "cancorderd-rack-00000000.local.", 42420)
        await until(lambda: network.names() == {"ECUconnect-Logger a rack:42420-2"})
        assert [call for call, _ in network.calls] == ["forget", "register"], (
            "no farewell for the other's name"
        )


@in_event_loop
async def test_a_flood_of_claims_is_answered_a_few_times() -> None:
    network = Network()
    announcer = network.announcer()
    announcer.announce(mock_settings("a"), 42420)
    async with running(announcer):
        await until(lambda: network.records)
        network.calls.clear()
        for _ in range(200):
            network.receive_claim("ECUconnect-Logger a rack:42420", "cancorderd-rack-ffffffff.local.", 42420)
            await asyncio.sleep(0.001)
        assert 0 < len(network.calls) <= 15
