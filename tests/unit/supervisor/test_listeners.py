from __future__ import annotations

import errno
import os
import socket
import sys

import psutil
import pytest

from cancorderd.supervisor import listeners
from cancorderd.supervisor.listeners import ListenerKeeper, PortUnavailable
from tests.support.harness import free_port

BOTH = ["0.0.0.0", "::"]


def test_both_families_listen_on_one_port() -> None:
    sockets = listeners.listen(BOTH, port := free_port())
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), 5).close()
    listeners.close_all(sockets)


def test_taken_port_names_the_program_and_leaves_nothing_open() -> None:
    with socket.create_server(("::1", port := free_port()), family=socket.AF_INET6):
        with pytest.raises(
            PortUnavailable, match=rf"port {port} is in use by \S+ \(process \d+\)\. End that"
        ):
            listeners.listen(["127.0.0.1", "::1"], port)
        socket.create_server(("127.0.0.1", port)).close()


ABSENT = "192.0.2.99"


@pytest.fixture
def without_freebind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that binds only addresses that it has."""
    monkeypatch.setattr(listeners, "_allow_absent_address", lambda _sock: None)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bind only addresses that they have")
def test_an_address_need_not_be_there_yet() -> None:
    sockets = listeners.listen([ABSENT, "2001:db8::99", "127.0.0.1"], free_port())
    assert [sock.getsockname()[0] for sock in sockets] == [ABSENT, "2001:db8::99", "127.0.0.1"]
    listeners.close_all(sockets)


@pytest.mark.usefixtures("without_freebind")
def test_an_address_that_cannot_be_bound_yet_is_left_out() -> None:
    port = free_port()
    sockets = listeners.listen([ABSENT, "fe80::1%absent0", "127.0.0.1"], port)
    assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1"]
    kept, stale, fresh = listeners.renew([ABSENT, "127.0.0.1"], port, sockets)
    assert (kept, stale, fresh) == (sockets, [], [])
    listeners.close_all(sockets)


@pytest.mark.usefixtures("without_freebind")
def test_an_absent_address_takes_no_port_after_the_other() -> None:
    assert listeners.listen_on_free_port([ABSENT], ())[1] == []


def test_an_address_that_has_come_is_bound() -> None:
    port = free_port()
    kept, stale, fresh = listeners.renew(["127.0.0.1", "::1", "0.0.0.0"], port, [])
    assert (kept, stale) == ([], [])
    assert [sock.getsockname()[0] for sock in fresh] == ["127.0.0.1", "::1"]
    assert listeners.renew(["127.0.0.1", "::1"], port, fresh) == (fresh, [], [])
    listeners.close_all(fresh)
    assert listeners.renew(["127.0.0.1"], None, []) == ([], [], [])


def test_a_link_local_address_needs_its_interface() -> None:
    with pytest.raises(
        PortUnavailable, match=r"^listen: fe80::1 is an address of one .* as in fe80::1%eth0\.$"
    ):
        listeners.listen(["fe80::1"], free_port())


def test_missing_addresses() -> None:
    addresses = ["0.0.0.0", "::", "127.0.0.1", "::1", ABSENT, "2001:db8::99", "fe80::1%absent0"]
    assert listeners.missing(addresses) == [ABSENT, "2001:db8::99", "fe80::1%absent0"]


class Refusal(socket.socket):
    """A socket that cannot be bound for a reason that has nothing to do with the port."""

    binds = 0

    def bind(self, _address: object) -> None:
        Refusal.binds += 1
        raise OSError(errno.ENOBUFS, "No buffer space available")


def test_a_reason_that_has_nothing_to_do_with_the_port_ends_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "socket", Refusal)
    with pytest.raises(PortUnavailable, match=r"^127\.0\.0\.1 port 42420: No buffer space available$"):
        listeners.listen_on_free_port(["127.0.0.1"], ())
    assert Refusal.binds == 1


def test_a_port_of_an_outgoing_connection_names_its_program() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = server.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", peer), source_address=("127.0.0.1", port)) as client,
            pytest.raises(
                PortUnavailable,
                match=rf"^port {port} is in use by a connection to 127\.0\.0\.1:{peer} of \S+ "
                rf"\(process {os.getpid()}\)\. End that program",
            ),
        ):
            assert client.getsockname()[1] == port
            listeners.listen(BOTH, port)


def test_a_port_of_a_connection_that_has_just_ended() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), source_address=("127.0.0.1", port))
        accepted, _ = server.accept()
        client.close()
        accepted.close()
    with pytest.raises(
        PortUnavailable, match=r"is in use by a connection to \S+ that ended less than a minute"
    ):
        listeners.listen(BOTH, port)


def test_automatic_port_is_the_first_free_one_that_is_not_reserved() -> None:
    first, sockets = listeners.listen_on_free_port(["127.0.0.1"], ())
    assert first >= 42420
    second, more = listeners.listen_on_free_port(["127.0.0.1"], (first + 1,))
    assert second > first + 1
    listeners.close_all(sockets + more)


class SocketWithoutIpv6(socket.socket):
    """A socket of a system without IPv6."""

    def __init__(self, family: int = -1, *arguments: int) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *arguments)


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", SocketWithoutIpv6)


@pytest.mark.usefixtures("without_ipv6")
def test_ipv6_is_skipped_on_a_system_without_it() -> None:
    (sock,) = listeners.listen(BOTH, free_port())
    assert sock.family == socket.AF_INET
    sock.close()


@pytest.mark.usefixtures("without_ipv6")
def test_ipv6_alone_on_a_system_without_it_is_an_error() -> None:
    with pytest.raises(PortUnavailable, match="Address family not supported"):
        listeners.listen(["::"], free_port())


class PrivilegedSocket(socket.socket):
    """A socket of a user who may not bind this port."""

    def bind(self, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_port_that_needs_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", PrivilegedSocket)
    with pytest.raises(PortUnavailable, match=r"^no permission for port 80\. Choose a port above 1023\.$"):
        listeners.listen(["127.0.0.1"], 80)


def test_a_port_of_a_program_that_this_user_may_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"port {port} is in use by another program"):
            listeners.listen(["127.0.0.1"], port)


def test_the_last_automatic_port_is_65535(monkeypatch: pytest.MonkeyPatch) -> None:
    class UnboundSocket(socket.socket):
        def bind(self, _address: object) -> None:
            pass

    monkeypatch.setattr(socket, "socket", UnboundSocket)
    reserved = range(listeners.FIRST_AUTOMATIC, 65535)
    port, sockets = listeners.listen_on_free_port(["127.0.0.1"], reserved)
    assert port == 65535
    listeners.close_all(sockets)
    with pytest.raises(PortUnavailable, match="no port from 42420 to 65535 is free"):
        listeners.listen_on_free_port(["127.0.0.1"], [*reserved, 65535])


def test_keeper_opens_and_closes() -> None:
    keeper, port = ListenerKeeper(), free_port()
    assert keeper.inherited_port("body", BOTH) is None
    sockets = keeper.open("body", BOTH, port)
    assert len(sockets) == 2
    keeper.close("body", sockets)
    socket.create_server(("127.0.0.1", port)).close()
