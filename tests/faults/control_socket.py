"""Faults of the control socket: whatever happens there, buses serve on, and the socket answers again."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import shutil
import socket
import time
from typing import TYPE_CHECKING

from cancorderd.control.client import ControlClient, ControlError
from cancorderd.control.protocol import Exit
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.harness import PATIENCE_S, poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.watched_bus import WatchedBus

NOBODY = 65534
CONNECTIONS = 500
RATE = 500.0
_ANSWER_S = 0.05
"""Time for the answer to a request that may have no end."""
_HEADS = (
    b"GET /v1/status HTTP/1.1\r\nHost: cancorder\r\n\r\n",
    b"GET /v1/events?follow=0 HTTP/1.1\r\nHost: cancorder\r\n\r\n",
    b"POST /v1/reload?dry_run=1 HTTP/1.1\r\nHost: cancorder\r\nContent-Length: 0\r\n\r\n",
    b"POST /v1/buses/b/restart HTTP/1.1\r\nHost: cancorder\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /v1/buses/b/frames HTTP/1.1\r\nHost: cancorder\r\n\r\n",
)
"""Requests that change nothing: there is no bus b."""
_PIECES = (
    b"\r\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b": ", b" HTTP/1.1", b" HTTP/9.9", b"/..", b"%00", b"%zz", b"?dry_run=1",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"X: " + b"y" * 9000 + b"\r\n",
    b"FFFFFFFFFFFFFFFF\r\n", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip


def fuzzed(folder: Path, scale: Scale) -> Row:
    """Requests that were changed at random; among them are some that are good still."""
    row = Row(times=scale.of(1000, 50_000))
    chance = random.Random(5)
    with SlcanBus(folder, rate=RATE) as bus:
        descriptors = _descriptors(bus)
        statuses: dict[str, int] = {}
        for turn in range(row.times):
            answer = _answer_to(bus.daemon.socket, _changed(chance))
            kind = answer[9:12].decode("ascii", "replace") or "none"
            statuses[kind] = statuses.get(kind, 0) + 1
            # With the version that the changed request asks for.
            row.expect(
                not answer or bool(re.match(rb"HTTP/\d\.\d \d{3} ", answer)),
                f"an answer begins with {answer[:20]!r}",
            )
            if turn % 100 == 99:
                row.recoveries_s.append(_answers_after(bus))
        row.figures["answers"] = statuses
        row.expect("500" not in statuses, f"{statuses.get('500')} requests met an error of the daemon")
        row.expect(statuses.get("200", 0) > 0, "no request was answered")
        _judge(row, bus, descriptors)
    return row


def slow(folder: Path, scale: Scale) -> Row:
    """Connections whose requests never end, or arrive byte by byte, and readers that never read."""
    row = Row(times=scale.of(48, 60))
    with SlcanBus(folder, rate=RATE) as bus, contextlib.ExitStack() as stack:
        descriptors = _descriptors(bus)
        connections = [stack.enter_context(_connected(bus.daemon.socket)) for _ in range(row.times)]
        for index, connection in enumerate(connections):
            connection.setblocking(False)
            if index % 4 == 0:
                connection.send(_HEADS[0] * 500)  # and the answers are not read
            elif index % 4 == 1:
                connection.send(b"GET /v1/events HTTP/1.1\r\nHost: cancorder\r\n\r\n")
        began_s = time.monotonic()
        typed = 0
        lasts_s = scale.of(7.0, 60.0)  # the head of a request has 5 s
        while time.monotonic() - began_s < lasts_s:
            for index, connection in enumerate(connections):
                if index % 4 == 2:
                    with contextlib.suppress(OSError):
                        connection.send(_HEADS[0][typed % 20 : typed % 20 + 1])
            typed += 1
            row.recoveries_s.append(_answers_after(bus))
            time.sleep(0.25)  # the pace of those who write slowly
        slow_ones = connections[2::4] + connections[3::4]
        poll(lambda: all(map(_has_ended, slow_ones)), what="the end of all slow requests")
        stack.close()
        _judge(row, bus, descriptors)
    return row


def crowded(folder: Path, scale: Scale) -> Row:
    """500 connections at once, each without a request. Root's commands get through when the idle ones are ended."""
    row = Row(times=scale.of(1, 10))
    with SlcanBus(folder, rate=RATE) as bus:
        descriptors = _descriptors(bus)
        for _ in range(row.times):
            with contextlib.ExitStack() as stack:
                for _ in range(CONNECTIONS):
                    stack.enter_context(_connected(bus.daemon.socket))
                row.recoveries_s.append(_answers_after(bus))
                row.expect(
                    _descriptors(bus) < descriptors + 100, "more connections are open than the limit allows"
                )
            poll(lambda: _answers_after(bus) < 1, what="prompt answers")
        _judge(row, bus, descriptors)
    return row


def removed(folder: Path, scale: Scale) -> Row:
    """The socket, its lock or its folder is removed, renamed, or replaced by another socket's remains."""
    row = Row(times=0)
    bus_with_socket = SlcanBus(folder, rate=RATE)
    daemon = bus_with_socket.daemon
    place = folder / "run" / "cancorder"
    place.mkdir(parents=True)
    daemon.file.write_text(daemon.file.read_text().replace(str(daemon.socket), str(place / "control.sock")))
    daemon.socket = place / "control.sock"
    lock = place / "control.sock.lock"

    def remove_with_lock() -> None:
        daemon.socket.unlink()
        lock.unlink()

    def replace_by_remains() -> None:
        daemon.socket.unlink()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(daemon.socket))

    deeds: tuple[Callable[[], object], ...] = (
        daemon.socket.unlink,
        remove_with_lock,
        lambda: shutil.rmtree(place),
        lambda: shutil.rmtree(place.parent),
        lambda: place.rename(folder / f"away{row.times}"),
        lambda: daemon.socket.rename(place / f"away{row.times}"),
        replace_by_remains,
    )
    with bus_with_socket as bus:
        descriptors = _descriptors(bus)
        for _ in range(scale.of(1, 20)):
            for deed in deeds:
                fault_s = time.monotonic()
                deed()
                row.times += 1
                poll(daemon.answers, what="an answer at the path")
                row.recoveries_s.append(time.monotonic() - fault_s)
        _judge(row, bus, descriptors)
        row.expect(lock.exists(), "there is no lock file")
    row.expect(not daemon.socket.exists(), "the socket is still there after the end of the daemon")
    return row


def no_permission(folder: Path, scale: Scale) -> Row:
    """Another user asks: without access to the socket; with it, for the status and for a restart."""
    row = Row(times=scale.of(20, 200))
    if os.geteuid() != 0:
        row.note = "not run: it needs root, to be another user"
        row.times = 0
        return row
    with SlcanBus(folder, rate=RATE) as bus:
        folder.chmod(0o755)
        descriptors, worker = _descriptors(bus), bus.pid
        client = ControlClient(str(bus.daemon.socket))
        closed = bus.daemon.socket.stat().st_mode & 0o777
        requests: tuple[tuple[str, int, Callable[[], object]], ...] = (
            ("status without access", closed, client.status),
            ("restart", 0o666, lambda: client.control("a", "restart")),
            ("stop", 0o666, lambda: client.control("a", "stop")),
            ("reload", 0o666, client.reload),
        )
        row.expect(not closed & 0o007, f"the socket has the mode {closed:o}")
        for turn in range(row.times):
            request, mode, ask = requests[turn % len(requests)]
            bus.daemon.socket.chmod(mode)
            status = _as_nobody(ask)
            row.expect(status == Exit.NO_PERMISSION, f"{request} of another user has exit status {status}")
            row.expect(
                mode == closed or _as_nobody(client.status) is None, "another user with access cannot read"
            )
            row.recoveries_s.append(_answers_after(bus))
        row.expect(bus.pid == worker, "another user has restarted the bus")
        bus.daemon.socket.chmod(closed)
        _judge(row, bus, descriptors)
    return row


def _as_nobody(ask: Callable[[], object]) -> Exit | None:
    """Return the exit status for the answer to a request of the user nobody; None if it succeeds."""
    os.seteuid(NOBODY)
    try:
        ask()
    except ControlError as error:
        return error.status
    finally:
        os.seteuid(0)
    return None


def _changed(chance: random.Random) -> bytes:
    """Return a request with some random changes."""
    data = bytearray(chance.choice(_HEADS) * chance.choice((1, 1, 1, 3)))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        deed = chance.randrange(4)
        if deed == 0:
            data[at:at] = chance.choice(_PIECES)
        elif deed == 1:
            del data[at : at + chance.randint(1, 20)]
        elif deed == 2:
            data[at : at + 1] = bytes([chance.randrange(256)])
        else:
            data[at:at] = chance.randbytes(chance.choice((1, 3, 300)))
    return bytes(data) or b"\n"


def _connected(path: Path) -> socket.socket:
    """Connect; if the queue of the socket is full, wait for the daemon to take a connection from it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.settimeout(PATIENCE_S)
    return connection


def _answer_to(path: Path, request: bytes) -> bytes:
    """Return the beginning of the answer to a request; empty if the daemon ends the connection without one."""
    with _connected(path) as connection:
        try:
            connection.sendall(request)
            # The end of the requests ends the connection, also before an answer; a request may have no end.
            if not select.select([connection], [], [], _ANSWER_S)[0]:
                connection.shutdown(socket.SHUT_WR)
            return connection.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def _has_ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _answers_after(bus: WatchedBus) -> float:
    """Return the time that the daemon takes to answer."""
    began_s = time.monotonic()
    bus.daemon.status()
    return time.monotonic() - began_s


def _descriptors(bus: WatchedBus) -> int:
    assert bus.daemon.process is not None
    return len(os.listdir(f"/proc/{bus.daemon.process.pid}/fd"))


def _judge(row: Row, bus: WatchedBus, descriptors: int) -> None:
    """Account for the viewer's frames; no connection, exception or restart is left of the fault."""
    row.expect(bus.seen.connections == 1, f"{bus.seen.connections} connections of the viewer")
    row.expect(bus.status()["restarts"] == 0, "the worker was restarted")
    poll(lambda: _descriptors(bus) <= descriptors + 1, what="the descriptors are closed")
    row.accounts.append(bus.account())
    row.mistakes += bus.seen.mistakes()
    row.expect(
        "Traceback" not in bus.daemon.log.read_text(errors="replace"), "there is an exception in the log"
    )
    row.expect(bus.status()["state"] == "running", f"the bus is {bus.status()['state']}")


DRILLS = (
    Drill("fuzzed", "requests changed at random", fuzzed),
    Drill("slow", "requests that never end, answers that nobody reads", slow),
    Drill("crowded", "500 connections at once", crowded),
    Drill("removed", "the socket, its lock or its folder is removed", removed),
    Drill("no-permission", "another user sends commands", no_permission),
)
