"""Load: many buses, clients and frames, and other programs that use up the processors."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.faults.account import Account
from tests.faults.drill import Drill, Row, Scale
from tests.faults.slcan_bus import numbered_adapter, slcan_table
from tests.support.harness import ROOT, Daemon, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.slcan_adapter import EmulatedSlcan

_BUSY = 0.9
"""Share of the rate below which the row says that the machine was too busy for it."""


def mock_tables(buses: int, rate: int, seconds: float, keys: str = "") -> str:
    """Return buses whose frames are numbered; each ends after so many seconds' frames."""
    return "".join(
        f'[bus.b{number}]\ninterface = "mock"\npattern = "numbered"\nrate = {rate}\ncount = {round(rate * seconds)}\n'
        f"max_clients = 64\n{keys}\n"
        for number in range(buses)
    )


Accounts: TypeAlias = "list[dict[str, Any]]"


@contextlib.contextmanager
def viewers(
    length: int, ports: Sequence[int], clients: int
) -> Iterator[Callable[[dict[int, int]], Accounts]]:
    """Connect this number of clients to each port.

    The function gets the number of frames by port, waits until the clients have them, and returns the clients' accounts.
    """
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tests.faults.many_viewers", str(length),
            *(f"{port}={clients}" for port in ports),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    lines, orders = process.stdout, process.stdin

    def accounts(totals: dict[int, int]) -> Accounts:
        orders.write(json.dumps(totals) + "\n")
        orders.flush()
        found: Accounts = json.loads(lines.readline() or "[]")
        return found

    try:
        assert lines.readline().strip() == "connected", "the clients cannot connect"
        yield accounts
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Run programs that use all the time they get, with the nice value of the daemon."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


def take_accounts(row: Row, daemon: Daemon, accounts: Accounts, rate: float, totals: dict[int, int]) -> None:
    """Add the account of each client: the frames of its port since its first one."""
    buses = {bus["port"]: bus for bus in daemon.status()["buses"]}
    row.expect(bool(accounts), "the clients have no account")
    for found in accounts:
        bus = buses[found["port"]]
        (client,) = (each for each in bus["clients"] if each["address"] == found["address"])
        lost = {**bus["lost"], "clients": client["frames_dropped"]}
        sent = totals[found["port"]] - max(0, found["first"])
        row.accounts.append(Account(sent, found["received"], lost, rate))
        row.expect(not found["disorder"], f"{found['address']}: {found['disorder']} frames out of order")
        row.expect(not found["torn"], f"{found['address']}: the stream ends within a packet")


def note_pace(row: Row, share: float) -> None:
    """Take note of the share of the rate that the machine managed."""
    row.figures["share of the rate"] = round(share, 2)
    if share < _BUSY:
        row.note = f"{share:.0%} of the rate: the machine was too busy for more"


def mock_load(
    folder: Path, *, buses: int, clients: int, rate: int, seconds: float, length: int = 8, keys: str = ""
) -> Row:
    row = Row(times=1)
    with Daemon(folder, mock_tables(buses, rate, seconds, keys)) as daemon:
        ports = [daemon.wait_port(f"b{number}") for number in range(buses)]
        with viewers(length, ports, clients) as accounts:
            began_s = time.monotonic()
            begun = sum(bus["frames"]["received"] for bus in daemon.status()["buses"])
            totals = poll(lambda: finished(daemon, round(rate * seconds)), what="all frames", deadline_s=300)
            fresh = sum(totals.values()) - begun
            note_pace(row, min(1.0, fresh / (buses * rate) / (time.monotonic() - began_s - 1)))
            take_accounts(row, daemon, accounts(totals), rate, totals)
    return row


def finished(daemon: Daemon, count: int) -> dict[int, int]:
    """Return the frames by port when each bus has received all; empty before."""
    totals = {bus["port"]: int(bus["frames"]["received"]) for bus in daemon.status()["buses"]}
    return totals if min(totals.values()) >= count else {}


def many_buses(folder: Path, scale: Scale) -> Row:
    return mock_load(folder, buses=16, clients=4, rate=2000, seconds=scale.of(4, 60))


def fd_frames(folder: Path, scale: Scale) -> Row:
    keys = "fd = true\nlength = 64\ndata_bitrate = 8_000_000\nbitrate = 1_000_000"
    return mock_load(folder, buses=1, clients=4, rate=10_000, seconds=scale.of(4, 60), length=64, keys=keys)


def other_programs(folder: Path, scale: Scale) -> Row:
    with hogs(2):
        return mock_load(folder, buses=4, clients=4, rate=2000, seconds=scale.of(4, 60))


def _sent(adapter: EmulatedSlcan, daemon: Daemon) -> int:
    """Return the number of frames if the daemon has received the last, or a second without any has passed; else 0."""
    frames = daemon.bus("a")["frames"]
    ended = frames["received"] == adapter.sent or frames["per_second"] == 0
    return adapter.sent if ended and not adapter.rate else 0


def many_clients(folder: Path, scale: Scale) -> Row:
    """A full bus, from an emulated serial adapter."""
    rate, seconds = 9009, scale.of(4, 60)
    row = Row(times=1)
    table = slcan_table("a", folder / "tty", "max_clients = 64\nbitrate = 1_000_000")
    with numbered_adapter(folder / "tty") as adapter, Daemon(folder, table) as daemon:
        port = daemon.wait_state("a", "running")["port"]
        with viewers(8, [port], 64) as accounts:
            poll(lambda: len(daemon.bus("a")["clients"]) == 64, what="64 clients")
            adapter.command(f"rate {rate}")
            end_s = time.monotonic() + seconds
            poll(lambda: time.monotonic() > end_s, deadline_s=2 * seconds + 60)
            adapter.command("rate 0")
            sent = poll(lambda: _sent(adapter.adapter, daemon), what="the end of the stream")
            note_pace(row, sent / (rate * seconds))
            totals = {port: sent}
            take_accounts(row, daemon, accounts(totals), rate, totals)
    return row


DRILLS = (
    Drill("many-buses", "16 buses, 4 clients each, 2,000 frames/s each", many_buses, alone=True),
    Drill("fd", "CAN FD, 64 bytes, 10,000 frames/s, 4 clients", fd_frames, alone=True),
    Drill("many-clients", "a full bus, 9,009 frames/s, 64 clients", many_clients, alone=True),
    Drill("hogs", "two programs use both processors; 4 buses, 16 clients", other_programs, alone=True),
)
