"""Notifications to a service manager that reads, does not read, is gone, or never was there."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from cancorderd.service.notify_socket import NotifySocket
from cancorderd.service.systemd import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notify(manager: socket.socket) -> Iterator[NotifySocket]:
    with contextlib.closing(NotifySocket(manager.getsockname())) as sender:
        yield sender


def received(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


def fill(notify: NotifySocket, manager: socket.socket) -> int:
    """Send until the service manager's queue is full; return the number of notifications in it."""
    for number in range(5000):
        notify.send(f"READY={number}", [])
        if notify._waiting:
            return number
    raise AssertionError("a datagram socket without end")


def test_a_service_manager_that_does_not_read_delays_nothing(
    notify: NotifySocket, manager: socket.socket
) -> None:
    room = fill(notify, manager)
    notify.send("WATCHDOG=1", [])
    notify.send("STATUS=old", [])
    notify.send("STATUS=new", [])
    assert received(manager) == [f"READY={number}" for number in range(room)]
    notify.flush()
    assert received(manager) == [f"READY={room}", "STATUS=new"], "in order; what is out of date is left out"


def test_dropped_notifications_are_counted(
    notify: NotifySocket, manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    room = fill(notify, manager)
    for number in range(300):
        notify.send(f"FDSTORE={number}", [])
    while received(manager):
        notify.flush()
    assert f"{301 - 200} notifications were dropped" in caplog.text
    assert room > 0


def test_descriptors_are_sent_as_copies(notify: NotifySocket, manager: socket.socket) -> None:
    room = fill(notify, manager)
    reading, writing = os.pipe()
    notify.send("FDSTORE=1", [reading])
    os.close(reading)
    assert len(received(manager)) == room
    notify.flush()
    assert manager.recv(100) == f"READY={room}".encode()
    text, ancillary, _, _ = manager.recvmsg(100, 100)
    assert text == b"FDSTORE=1"
    (copy,) = array.array("i", ancillary[0][2])
    os.write(writing, b"x")
    assert os.read(copy, 1) == b"x"
    os.close(copy)
    os.close(writing)


def test_a_service_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    with contextlib.closing(NotifySocket(str(tmp_path / "gone"))) as notify:
        notify.send("READY=1", [])


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(b"\0cancorder-test-%d" % os.getpid())
        with contextlib.closing(NotifySocket(f"@cancorder-test-{os.getpid()}")) as notify:
            notify.send("READY=1", [])
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["run/notify", "vsock:2:1", "/" + "x" * 200, "\x1b[2J"])
def test_an_address_that_makes_no_sense_is_ignored_with_a_warning(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    service, inherited = connect({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "5000000"})
    service.ready("1 of 1 bus running")
    assert inherited == []
    assert "NOTIFY_SOCKET=" in caplog.text
    assert "\x1b" not in caplog.text
