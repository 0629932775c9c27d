from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.service.handed import kept_name
from cancorderd.service.stored_ports import StoredPorts
from cancorderd.service.systemd import ServiceManager, connect
from cancorderd.supervisor import ports
from tests.harness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = ["127.0.0.1"]


class Daemon(StoredPorts):
    """One that closes everything at the test's end."""

    def __init__(self, manager: ServiceManager, descriptors: list[tuple[int, str]]) -> None:
        super().__init__(manager, descriptors)
        self.opened: list[socket.socket] = []

    def listen(self, bus: str, listen_on: Sequence[str], port: int) -> list[socket.socket]:
        found = super().listen(bus, listen_on, port)
        self.opened += found
        return found

    def close(self) -> None:
        ports.close(self.opened)
        for one in self._waiting:
            os.close(one.descriptor)


class Systemd:
    """What the service manager would keep, by name."""

    def __init__(self) -> None:
        self.stored: dict[str, list[int]] = {}
        self.told: list[str] = []
        self.daemons: list[Daemon] = []

    def send(self, text: str, descriptors: Sequence[int]) -> None:
        self.told.append(text)
        what = dict(line.split("=", 1) for line in text.splitlines())
        if "FDSTORE" in what:
            self.stored.setdefault(what["FDNAME"], []).extend(os.dup(one) for one in descriptors)
        if "FDSTOREREMOVE" in what:
            for one in self.stored.pop(what["FDNAME"], []):
                os.close(one)

    def handed(self) -> list[tuple[int, str]]:
        """What the next daemon gets."""
        return [(os.dup(one), name) for name, all_of_it in self.stored.items() for one in all_of_it]

    def next_daemon(self, more: Sequence[tuple[int, str]] = ()) -> Daemon:
        self.daemons.append(Daemon(ServiceManager(self.send), [*more, *self.handed()]))
        return self.daemons[-1]

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close()
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
    first.settle({"body": (HERE, port)})
    sockets = first.listen("body", HERE, port)
    first.end()
    first.release("body", sockets)
    assert connects(port)
    second = systemd.next_daemon()
    second.settle({"body": (HERE, port)})
    (sock,) = second.listen("body", HERE, port)
    came, _ = sock.accept()
    came.close()  # who came in between has waited
    assert len(systemd.stored[kept_name("body")]) == 1
    second.release("body", [sock])
    assert not systemd.stored
    assert not connects(port)


def test_what_fits_no_more_is_closed_before_another_bus_wants_it(systemd: Systemd) -> None:
    one, two = free_port(), free_port()
    first = systemd.next_daemon()
    for bus, port in (("a", one), ("b", two), ("gone", free_port())):
        first.listen(bus, HERE, port)
    second = systemd.next_daemon()
    second.settle({"a": (HERE, two), "b": (HERE, one)})
    assert not systemd.stored
    (a,), (b,) = second.listen("a", HERE, two), second.listen("b", HERE, one)
    assert (a.getsockname()[1], b.getsockname()[1]) == (two, one)


def test_half_of_what_is_kept_fits(systemd: Systemd) -> None:
    port = free_port()
    systemd.next_daemon().listen("a", [*HERE, "127.0.0.2"], port)
    second = systemd.next_daemon()
    second.settle({"a": (HERE, port)})
    assert len(systemd.stored[kept_name("a")]) == 1
    (sock,) = second.listen("a", HERE, port)
    assert sock.getsockname() == (HERE[0], port)
    with socket.create_server(("127.0.0.2", port)):
        pass


def test_a_socket_unit_keeps_its_socket(systemd: Systemd) -> None:
    with socket.create_server((HERE[0], 0)) as unit:
        port = unit.getsockname()[1]
        daemon = systemd.next_daemon([(os.dup(unit.fileno()), "body")])
        daemon.settle({"body": (HERE, None)})
        assert daemon.port_of("body", HERE) == port
        for _ in range(2):  # cancorderctl stop, cancorderctl start
            sockets = daemon.listen("body", HERE, port)
            assert not systemd.stored
            daemon.release("body", sockets)
            assert connects(port)


def test_a_taken_port_leaves_what_was_handed_over_for_the_next_try(systemd: Systemd) -> None:
    port = free_port()
    systemd.next_daemon().listen("a", HERE, port)
    second = systemd.next_daemon()
    both = [*HERE, "127.0.0.2"]
    with socket.create_server(("127.0.0.2", port)), pytest.raises(ports.PortTaken):
        second.listen("a", both, port)
    assert len(second.listen("a", both, port)) == 2


def test_what_is_no_listening_socket_is_closed(systemd: Systemd) -> None:
    reader, writer = os.pipe()
    daemon = systemd.next_daemon([(reader, "body")])
    assert daemon.port_of("body", HERE) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    os.close(writer)


def test_messages(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.send)
    manager.ready("1 of 1 bus running")
    manager.status("1 of 1 bus running")
    manager.reloading()
    manager.alive(0.0)
    manager.stopping()
    ready, reloading, stopping = systemd.told
    assert ready == "READY=1\nSTATUS=1 of 1 bus running"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert stopping == "STOPPING=1\nSTATUS=stopping"


def test_without_systemd_nobody_is_told() -> None:
    manager, handed = connect({})
    manager.ready("")
    assert handed == []
