from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.service.inherited_sockets import stored_name
from cancorderd.service.stored_listeners import StoredListeners
from cancorderd.service.systemd import ServiceManager
from cancorderd.supervisor.listeners import ListenRequest, PortUnavailable, Renewal, close_all
from tests.support.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = ["127.0.0.1"]


class Daemon(StoredListeners):
    """The listeners of one run of the daemon; `close_everything` closes everything that is still open."""

    def __init__(self, manager: ServiceManager, descriptors: list[tuple[int, str]]) -> None:
        super().__init__(manager, descriptors)
        self.opened: list[socket.socket] = []

    def open(self, bus: str, addresses: Sequence[str], port: int) -> list[socket.socket]:
        found = super().open(bus, addresses, port)
        self.opened += found
        return found

    def close_everything(self) -> None:
        close_all(self.opened)
        for sock in self._inherited:
            os.close(sock.descriptor)


class Systemd:
    """A fake service manager: keeps the stored descriptors by name."""

    def __init__(self) -> None:
        self.stored: dict[str, list[int]] = {}
        self.messages: list[str] = []
        self.daemons: list[Daemon] = []

    def send(self, text: str, descriptors: Sequence[int]) -> None:
        self.messages.append(text)
        fields = dict(line.split("=", 1) for line in text.splitlines())
        if "FDSTORE" in fields:
            self.stored.setdefault(fields["FDNAME"], []).extend(
                os.dup(descriptor) for descriptor in descriptors
            )
        if "FDSTOREREMOVE" in fields:
            for descriptor in self.stored.pop(fields["FDNAME"], []):
                os.close(descriptor)

    def passed(self) -> list[tuple[int, str]]:
        """Return the descriptors and names that the next daemon receives."""
        return [
            (os.dup(descriptor), name)
            for name, descriptors in self.stored.items()
            for descriptor in descriptors
        ]

    def next_daemon(self, more: Sequence[tuple[int, str]] = ()) -> Daemon:
        self.daemons.append(Daemon(ServiceManager(self.send), [*more, *self.passed()]))
        return self.daemons[-1]

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close_everything()
        for name in list(self.stored):
            self.send(f"FDSTOREREMOVE=1\nFDNAME={name}", [])


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with contextlib.closing(Systemd()) as made:
        yield made


def connects(port: int) -> bool:
    try:
        socket.create_connection((HERE[0], port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_ports_outlive_the_daemon(systemd: Systemd) -> None:
    port = free_port()
    first = systemd.next_daemon()
    first.prepare({"body": ListenRequest(HERE, port)})
    sockets = first.open("body", HERE, port)
    first.end()
    first.close("body", sockets)
    assert connects(port)
    second = systemd.next_daemon()
    second.prepare({"body": ListenRequest(HERE, port)})
    (sock,) = second.open("body", HERE, port)
    client, _ = sock.accept()
    client.close()  # it connected between the two daemons, and has waited
    assert len(systemd.stored[stored_name("body")]) == 1
    second.close("body", [sock])
    assert not systemd.stored
    assert not connects(port)


def test_sockets_that_no_longer_fit_are_closed_before_another_bus_wants_their_port(systemd: Systemd) -> None:
    first_port, second_port = free_port(), free_port()
    first = systemd.next_daemon()
    for bus, port in (("a", first_port), ("b", second_port), ("gone", free_port())):
        first.open(bus, HERE, port)
    second = systemd.next_daemon()
    second.prepare({"a": ListenRequest(HERE, second_port), "b": ListenRequest(HERE, first_port)})
    assert not systemd.stored
    (a,), (b,) = second.open("a", HERE, second_port), second.open("b", HERE, first_port)
    assert (a.getsockname()[1], b.getsockname()[1]) == (second_port, first_port)


def test_one_of_two_stored_sockets_fits(systemd: Systemd) -> None:
    port = free_port()
    systemd.next_daemon().open("a", [*HERE, "127.0.0.2"], port)
    second = systemd.next_daemon()
    second.prepare({"a": ListenRequest(HERE, port)})
    assert len(systemd.stored[stored_name("a")]) == 1
    (sock,) = second.open("a", HERE, port)
    assert sock.getsockname() == (HERE[0], port)
    with socket.create_server(("127.0.0.2", port)):
        pass


def test_a_socket_unit_keeps_its_socket(systemd: Systemd) -> None:
    with socket.create_server((HERE[0], 0)) as unit:
        port = unit.getsockname()[1]
        daemon = systemd.next_daemon([(os.dup(unit.fileno()), "body")])
        daemon.prepare({"body": ListenRequest(HERE, None)})
        assert daemon.inherited_port("body", HERE) == port
        for _ in range(2):  # cancorderctl stop, cancorderctl start
            sockets = daemon.open("body", HERE, port)
            assert not systemd.stored
            daemon.close("body", sockets)
            assert connects(port)


def test_a_port_that_is_in_use_leaves_inherited_sockets_for_the_next_try(systemd: Systemd) -> None:
    port = free_port()
    systemd.next_daemon().open("a", HERE, port)
    second = systemd.next_daemon()
    both = [*HERE, "127.0.0.2"]
    with socket.create_server(("127.0.0.2", port)), pytest.raises(PortUnavailable):
        second.open("a", both, port)
    assert len(second.open("a", both, port)) == 2


def test_descriptors_of_other_kinds_are_closed(systemd: Systemd) -> None:
    reader, writer = os.pipe()
    daemon = systemd.next_daemon([(reader, "body")])
    assert daemon.inherited_port("body", HERE) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    os.close(writer)


def test_a_stale_socket_is_replaced_in_the_store(systemd: Systemd) -> None:
    daemon = systemd.next_daemon()
    kept, stale = daemon.open("body", ["127.0.0.1", "127.0.0.2"], free_port())
    fresh = socket.create_server(("127.0.0.3", kept.getsockname()[1]))
    daemon.opened.append(fresh)
    daemon.replace("body", Renewal([kept], [stale], [fresh]))
    stored = [socket.socket(fileno=descriptor) for descriptor, _ in systemd.passed()]
    assert [sock.getsockname()[0] for sock in stored] == ["127.0.0.1", "127.0.0.3"]
    close_all(stored)
    assert connects(kept.getsockname()[1])


def test_a_socket_of_a_unit_is_not_stored_when_another_is_replaced(systemd: Systemd) -> None:
    with socket.create_server((HERE[0], 0)) as unit:
        port = unit.getsockname()[1]
        daemon = systemd.next_daemon([(os.dup(unit.fileno()), "body")])
        kept, stale = daemon.open("body", ["127.0.0.1", "127.0.0.2"], port)
        daemon.replace("body", Renewal([kept], [stale], []))
        assert systemd.stored == {}
        assert connects(port)
