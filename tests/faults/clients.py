"""Faults of clients: none of them costs another client a frame, and each stream is whole packets in order."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute

from cancorderd.client import connect
from cancorderd.control.client import ControlClient
from tests.faults.account import Account
from tests.faults.crowd import Crowd
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import SlcanBus
from tests.support.harness import ROOT, poll, wait_end
from tests.support.numbered_frames import mistakes, number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.faults.crowd import Stream
    from tests.faults.watched_bus import WatchedBus

FAR_AWAY = "198.51.100.7"
"""Address of clients whose network breaks down; of the documentation's network (RFC 5737)."""
LOOPBACK = 1
"""Index of `lo`, in each namespace."""


def come_and_go(folder: Path, scale: Scale) -> Row:
    """Clients connect, read a little, and leave with a FIN or a reset, each at a moment of its own."""
    row = Row(times=scale.of(1000, 10_000))
    chance = random.Random(4)
    with SlcanBus(folder, rate=500, keys="max_clients = 128") as bus, Crowd(bus.port) as crowd:
        _read_until_each_has_frames(crowd, crowd.join())
        descriptors = _descriptors(bus)
        while len(crowd.left) + len(crowd.streams) < row.times:
            arriving_s = time.monotonic()
            fresh = crowd.join(chance.randint(1, 20))
            if chance.random() < 0.1:
                _read_until_each_has_frames(crowd, fresh)
                row.recoveries_s.append(time.monotonic() - arriving_s)
            crowd.read(wait_s=0.002)
            for stream in chance.sample(crowd.streams[1:], max(0, len(crowd.streams) - 60)):
                stream.read(chance.randint(1, 1000))  # most likely a part of a packet
                crowd.leave([stream], reset=chance.random() < 0.5)
        _read_until_each_has_frames(crowd, crowd.streams)
        crowd.leave(crowd.streams[1:])
        poll(lambda: len(bus.status()["clients"]) == 2, what="all but two clients have left")
        poll(lambda: _descriptors(bus) <= descriptors, what="the descriptors of clients that left are closed")
        _judge(row, bus, crowd)
    return row


def never_read(folder: Path, scale: Scale) -> Row:
    """Clients that read nothing lose their own oldest frames, which are counted for each; then they read everything."""
    row = Row(times=scale.of(100, 100))
    keys = "max_clients = 128\nclient_backlog = 65536"
    with SlcanBus(folder, rate=scale.of(3000, 2000), keys=keys) as bus, Crowd(bus.port) as crowd:
        silent = crowd.join(row.times, receive_buffer=4096)
        names = {stream.address for stream in silent}
        poll(
            lambda: (
                len(lost := [c for c in _clients(bus) if c["frames_dropped"]]) == row.times
                and {client["address"] for client in lost} == names
            ),
            what="frames are dropped for each client that does not read",
        )
        arriving_s = time.monotonic()
        _read_until_each_has_frames(crowd, crowd.join())
        row.recoveries_s.append(time.monotonic() - arriving_s)
        _judge(row, bus, crowd)
    return row


def disconnected(folder: Path, scale: Scale) -> Row:
    """With slow_client = "disconnect", clients that read nothing are disconnected, and nobody else notices."""
    row = Row(times=scale.of(20, 100))
    keys = 'max_clients = 128\nclient_backlog = 65536\nslow_client = "disconnect"'
    with SlcanBus(folder, rate=20, keys=keys) as bus, Crowd(bus.port) as crowd:
        crowd.join(row.times, receive_buffer=4096)
        poll(lambda: len(_clients(bus)) == 1 + row.times, what="all are connected")
        bus.send(3000)
        poll(lambda: len(_clients(bus)) == 1, what="all that do not read are disconnected")
        crowd.read_until(
            lambda: all(stream.ended for stream in crowd.streams), what="the ends of their streams"
        )
        row.expect(
            all(stream.received and not stream.missing for stream in crowd.streams),
            "a frame is missing in the middle of a stream that was ended",
        )
        row.accounts.append(_viewers_account(bus))
        _judge_streams(row, bus, crowd)
    return row


def half_open(folder: Path, scale: Scale) -> Row:
    """The network of some clients is gone without a FIN. It comes back: their streams go on where they stopped.

    In the long form it stays away another time, until the daemon considers these clients gone.
    """
    row = Row(times=20)
    if not os.environ.get("CANCORDER_FAULTS_APART"):
        row.note = "not run: it needs a network namespace (root)"
        return row
    with (
        IPRoute() as network,
        SlcanBus(folder, rate=500, keys="max_clients = 64") as bus,
        Crowd(bus.port) as crowd,
    ):
        network.addr("add", index=LOOPBACK, address=FAR_AWAY, prefixlen=32)
        far = crowd.join(row.times, source=FAR_AWAY)
        near = crowd.join(3)
        _read_until_each_has_frames(crowd, crowd.streams)
        network.addr("delete", index=LOOPBACK, address=FAR_AWAY, prefixlen=32)
        poll(
            lambda: (
                sum(client["backlog_bytes"] > 0 for client in _clients(bus)) >= row.times
                or _silent_for(crowd, near, far, 3)
            ),
            what="the far clients' streams stand still",
        )
        back_s = time.monotonic()
        network.addr("add", index=LOOPBACK, address=FAR_AWAY, prefixlen=32)
        mark = bus.sent
        crowd.read_until(
            lambda: all(stream.last >= mark for stream in crowd.streams), what="the present frame"
        )
        row.recoveries_s.append(time.monotonic() - back_s)
        row.expect(
            not any(stream.ended for stream in far), "a client was disconnected by a short interruption"
        )
        row.expect(len(_clients(bus)) == 1 + len(crowd.streams), "a client is gone")
        if scale.long:
            network.addr("delete", index=LOOPBACK, address=FAR_AWAY, prefixlen=32)
            gone_s = time.monotonic()
            while len(_clients(bus)) > 1 + len(near):
                crowd.read(near)
                assert time.monotonic() - gone_s < 200, "clients without a network are kept"
            row.figures["gone_after_s"] = round(time.monotonic() - gone_s, 1)
            network.addr("add", index=LOOPBACK, address=FAR_AWAY, prefixlen=32)
            crowd.leave(far)
        _judge(row, bus, crowd)
    return row


def resets(folder: Path, scale: Scale) -> Row:
    """Clients reset their connections within a packet, during restarts of the worker, and while there is none."""
    row = Row(times=scale.of(4, 40))
    chance = random.Random(7)
    kills = 0
    with SlcanBus(folder, rate=500, keys="max_clients = 128") as bus, Crowd(bus.port) as crowd:
        staying = crowd.join(10)
        for turn in range(row.times):
            leaving = crowd.join(20)
            _read_until_each_has_frames(crowd, [*leaving, *staying])
            fault_s = time.monotonic()
            if turn % 4 == 3:  # nobody serves the port, and those who come now wait
                bus.wait_rate()
                worker = bus.pid
                os.kill(worker, signal.SIGKILL)
                kills += 1
                wait_end(worker)
                crowd.leave(crowd.streams)
                crowd.leave(crowd.join(20), reset=True)
                staying = crowd.join(10)
                _read_until_each_has_frames(crowd, staying)
            else:
                restart = threading.Thread(
                    target=ControlClient(str(bus.daemon.socket)).control, args=("a", "restart")
                )
                restart.start()
                for stream in leaving:
                    stream.read(chance.randint(1, 100))
                    crowd.leave([stream], reset=True)
                    crowd.read(staying, wait_s=0.01)
                restart.join()
            row.recoveries_s.append(bus.wait_flow() - fault_s)
            crowd.read(staying)
        crowd.read_until(
            lambda: len(_clients(bus)) == 1 + len(staying), what="only those that stay are clients"
        )
        account = _judge(row, bus, crowd)
        row.expect(bus.seen.connections == 1 + kills, f"{bus.seen.connections} connections of the viewer")
        row.expect(
            bool(kills) == bool(account.lost.get("unknown")), f"lost after {kills} kills: {account.lost}"
        )
    return row


def flood(folder: Path, scale: Scale) -> Row:
    """Clients send as fast as they can. The daemon reads little of it, and serves them and all others."""
    row = Row(times=8)
    lasts_s = scale.of(4.0, 30.0)
    piece = os.urandom(1 << 16)
    with SlcanBus(folder, rate=1000) as bus, Crowd(bus.port) as crowd:
        begin_s = time.monotonic()
        floods = crowd.join(row.times)
        taken = 0
        while (elapsed_s := time.monotonic() - begin_s) < lasts_s:
            for stream in floods:
                with contextlib.suppress(BlockingIOError):
                    taken += stream.socket.send(piece)
            crowd.read(wait_s=0.001)
        row.recoveries_s.append(bus.wait_flow() - begin_s - elapsed_s)
        limit = (
            row.times * (16 + elapsed_s) * (1 << 20)
        )  # 16 reads of 64 KiB a second, and the kernel's buffers
        row.expect(taken < limit, f"{taken} bytes read from clients in {elapsed_s:.1f} s")
        poll(lambda: len(_clients(bus)) == 1 + row.times, what="all clients that send are connected")
        _judge(row, bus, crowd)
    return row


def versions(folder: Path, scale: Scale) -> Row:
    """Clients of both kinds at once, through restarts: this package's, and one that knows the first protocol alone."""
    row = Row(times=scale.of(2, 20))
    alone = str(ROOT / "contrib" / "examples" / "python_alone.py")
    ends = threading.Event()
    with SlcanBus(folder, rate=500) as bus, contextlib.ExitStack() as stack:
        first = bus.sent
        plain = subprocess.Popen(
            [sys.executable, alone, "127.0.0.1", str(bus.port)], stdout=(folder / "plain").open("wb")
        )
        stack.callback(plain.wait)
        stack.callback(plain.kill)
        own = stack.enter_context(connect("127.0.0.1", bus.port))
        found: list[int] = []

        def read() -> None:
            for frame in own:
                found.append(number(frame))
                if ends.is_set():
                    return

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        poll(
            lambda: len(_clients(bus)) == 3 and found and _plain_numbers(folder),
            what="three clients with frames",
        )
        for _ in range(row.times):
            fault_s = time.monotonic()
            worker = bus.pid
            assert ControlClient(str(bus.daemon.socket)).control("a", "restart")["done"]
            bus.wait_next_worker(worker)
            row.recoveries_s.append(bus.wait_flow() - fault_s)
        row.accounts.append(_viewers_account(bus))
        last = bus.sent - 1
        poll(lambda: found[-1:] == [last] == _plain_numbers(folder)[-1:], what="the last frame")
        for numbers in (found, _plain_numbers(folder)):
            row.expect(numbers[0] >= first, "frames of the time before the connection")
            wrong = mistakes([found - numbers[0] for found in numbers], last - numbers[0] + 1)
            row.expect(not wrong, wrong)
            row.accounts.append(Account(last - numbers[0] + 1, len(set(numbers)), rate=bus.rate))
        row.mistakes += bus.seen.mistakes()
        row.expect(bus.seen.connections == 1 and plain.poll() is None, "a client was disconnected")
    return row


def _plain_numbers(folder: Path) -> list[int]:
    """Return the numbers of the frames that the example has printed, as candump does."""
    lines = (folder / "plain").read_text().splitlines(keepends=True)
    return [int(line.partition("#")[2], 16) for line in lines if line.endswith("\n")]


def _clients(bus: WatchedBus) -> list[dict[str, Any]]:
    return list(bus.status()["clients"])


def _descriptors(bus: WatchedBus) -> int:
    return len(os.listdir(f"/proc/{bus.pid}/fd"))


def _silent_for(crowd: Crowd, near: list[Stream], far: list[Stream], seconds: float) -> bool:
    """Return whether the near clients have received so many seconds of frames more than the far ones."""
    crowd.read(near)
    return min(stream.last for stream in near) - max(stream.last for stream in far) > 500 * seconds


def _read_until_each_has_frames(crowd: Crowd, streams: Iterable[Stream]) -> None:
    """Read from these clients alone until each has a frame more than now."""
    marks = {stream: stream.last for stream in streams}
    crowd.read_until(
        lambda: all(stream.last > last for stream, last in marks.items()), marks, "frames for each client"
    )


def _viewers_account(bus: WatchedBus) -> Account:
    """Return the viewer's account. It reads always, so that any frame dropped for it is unaccounted for."""
    account = bus.account()
    return replace(account, lost={place: n for place, n in account.lost.items() if place != "clients"})


def _judge(row: Row, bus: WatchedBus, crowd: Crowd) -> Account:
    """Account for the frames of the viewer and of each client that is left, after reading everything."""
    account = _viewers_account(bus)
    row.accounts.append(account)
    last = bus.sent - 1
    crowd.read_until(lambda: all(stream.last == last for stream in crowd.streams), what="the last frame")
    dropped = {client["address"]: client["frames_dropped"] for client in _clients(bus)}
    for stream in crowd.streams:
        row.expect(stream.address in dropped, f"{stream.address} is connected, and no client in the status")
        row.expect(not stream.cut, f"{stream.address} ends within a packet")
        lost = {"clients": dropped.get(stream.address, 0)}
        row.accounts.append(Account(stream.expected, stream.received, lost, bus.rate))
    _judge_streams(row, bus, crowd)
    return account


def _judge_streams(row: Row, bus: WatchedBus, crowd: Crowd) -> None:
    """Account for the streams of clients that have left, and take note of torn streams."""
    row.mistakes += crowd.mistakes() + bus.seen.mistakes()
    row.accounts += [Account(stream.expected, stream.received, rate=bus.rate) for stream in crowd.left]


DRILLS = (
    Drill("come-and-go", "1,000 clients connect and leave, half with a reset", come_and_go),
    Drill("never-read", "100 clients never read", never_read),
    Drill("disconnected", 'clients never read, slow_client = "disconnect"', disconnected),
    Drill("half-open", "the network of 20 clients is gone without a FIN", half_open),
    Drill("resets", "clients reset within a packet and without a worker", resets),
    Drill("flood", "8 clients send as fast as they can", flood),
    Drill("versions", "two kinds of client through restarts of the worker", versions),
)
