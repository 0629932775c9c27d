"""Forwarding in the supervisor, with a small program in place of the forwarder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from cancorderd.config.forward_settings import ForwardSettings
from cancorderd.ipc.backoff import Backoff
from cancorderd.supervisor.forwarding import EVENTS, POLICY, Forwarding
from tests.support.harness import PATIENCE_S
from tests.unit.supervisor.fakes import in_event_loop, until

if TYPE_CHECKING:
    from pathlib import Path

    from cancorderd.supervisor.bus import Bus

PROGRAM = """
import select, signal, socket, sys, time
from cancorderd.ipc.channel import Channel
from cancorderd.ipc.messages import *

channel = Channel(socket.socket(fileno=int(sys.argv[2])))
signal.signal(signal.SIGTERM, signal.SIG_IGN)

def report(ended=(), lost=0):
    safe = SafePosition("0123456789abcdef", 42, 7, 5)
    bus = ForwardedBusReport("a", 0, 0.0, 10, 0, 0, lost, 0, 0, safe)
    channel.send(ForwarderReport(True, "", "nats://hub", False, False, 0, 1, None, 0.0, 0, [bus], [*ended]))

def serve(on_feed):
    while True:
        select.select([channel], [], [])
        for message, _, descriptors in channel.receive():
            channel.send(Notice("info", repr(message)))
            if isinstance(message, EndRequest):
                sys.exit(0)
            if isinstance(message, NewFeed):
                on_feed(message, socket.socket(fileno=descriptors[0]))

"""
SETTINGS = ForwardSettings(url=("nats://127.0.0.1:4222",), gateway="truck-17")


def forwarding(program: str, **keys: Any) -> Forwarding:
    code = PROGRAM + textwrap.dedent(program)
    policy = replace(POLICY, delays=Backoff(0.01, 0.01), hung_s=PATIENCE_S, **keys)
    return Forwarding(command=[sys.executable, "-P", "-c", code], policy=policy)


def bus(name: str, *, forwardable: bool = True) -> Bus:
    return cast("Bus", SimpleNamespace(name=name, settings=SimpleNamespace(forwardable=forwardable)))


def state(found: Forwarding) -> Any:
    return found.status()


async def until_reported(found: Forwarding, other_than: int | None = None) -> int:
    """Wait for the report of a forwarder other than this one; return its process id."""
    await until(lambda: state(found)["connected"] and found.pid != other_than)
    assert found.pid
    return found.pid


def lines(caplog: pytest.LogCaptureFixture, beginning: str) -> list[str]:
    """Return the messages that forwarders have received, or other events, that begin like this."""
    assert {record.__dict__["bus"] for record in caplog.records} <= {EVENTS}
    return [text for text in caplog.messages if text.startswith(beginning)]


@in_event_loop
async def test_streams_and_losses_reach_every_forwarder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cancorderd.forward")
    found = forwarding("serve(lambda feed, sock: (sock.sendall(b'read'), report(lost=3)))")
    assert found.open_feed(bus("a")) is None, "forwarding is off"
    found.configure(SETTINGS, str(tmp_path))
    assert found.open_feed(bus("b", forwardable=False)) is None
    worker = found.open_feed(bus("a"))
    assert worker
    worker.setblocking(False)

    async def is_read() -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.get_running_loop().sock_recv(worker, 100) == b"read"

    first = await until_reported(found)
    await is_read()
    (start,) = lines(caplog, "ForwarderStart(")
    assert start.endswith(f"gateway='truck-17', folder='{tmp_path}/forward/truck-17')")
    assert lines(caplog, "NewFeed(") == ["NewFeed(bus='a', number=1, safe=None)"]
    found.take_losses("a", 5, 6, 7, 50)
    found.take_losses("a", 5, 6, 7, 50)
    await until(lambda: len(lines(caplog, "GatewayLosses(")) == 2)
    assert (
        lines(caplog, "GatewayLosses(")[1] == "GatewayLosses(bus='a', kernel=5, adapter=6, unknown=7, fed=50)"
    )
    assert state(found)["buses"][0]["lost"]["unknown"] == 3

    os.kill(first, signal.SIGKILL)
    second = await until_reported(found, first)
    await is_read()
    killed = "the forwarder was ended by signal 9 (Killed); the next one starts in 0.01 s."
    assert killed in caplog.messages
    assert state(found)["restarts"] == 1
    safe = "SafePosition(spool='0123456789abcdef', position=42, stored=7, kernel=5, adapter=0, unknown=0)"
    assert lines(caplog, "NewFeed(")[1] == f"NewFeed(bus='a', number=1, safe={safe})"
    assert lines(caplog, "GatewayLosses(")[1] == lines(caplog, "GatewayLosses(")[2]
    assert state(found)["buses"][0]["lost"]["unknown"] == 6, "losses of both"

    assert found.configure(replace(SETTINGS, flush_ms=50), str(tmp_path))
    assert not found.configure(replace(SETTINGS, flush_ms=50), str(tmp_path))
    await until_reported(found, second)
    await is_read()
    assert state(found)["restarts"] == 1, "a reload is no crash"
    assert lines(caplog, "NewFeed(")[2] == lines(caplog, "NewFeed(")[1], "what it stored until its end"
    later = found.open_feed(bus("c"))
    await until(lambda: "NewFeed(bus='c', number=2, safe=None)" in caplog.messages)

    found.configure(None, str(tmp_path))
    assert state(found) is None
    await until(lambda: found.pid is None)
    for sock in (worker, later):
        assert sock
        sock.setblocking(True)
        while sock.recv(100):
            pass
        sock.close()
    await found.stop(PATIENCE_S)


@in_event_loop
async def test_stream_that_was_read_to_its_end_is_closed_and_passed_on_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cancorderd.forward")
    found = forwarding("serve(lambda feed, sock: (sock.close(), report([1])))")
    found.configure(SETTINGS, str(tmp_path))
    worker = found.open_feed(bus("a"))
    assert worker
    first = await until_reported(found)
    worker.settimeout(PATIENCE_S)
    assert worker.recv(1) == b"", "nobody has its other end"
    os.kill(first, signal.SIGKILL)
    later = found.open_feed(bus("b"))
    assert later
    # The killed forwarder may have been sent this stream, too.
    await until(lambda: bool(lines(caplog, "NewFeed(bus='b', number=2, ")))
    await found.stop(PATIENCE_S)
    assert len(lines(caplog, "NewFeed(bus='a', number=1, ")) == 1
    worker.close()
    later.close()


@in_event_loop
async def test_forwarder_that_refuses_waits_for_somebody_to_act(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = forwarding(
        "channel.send(WorkerEnd('nats-py is not installed. Install it.')); sys.exit(78)", refused_s=1000.0
    )
    found.configure(SETTINGS, str(tmp_path))
    assert state(found)["reason"] == "the forwarder starts"
    assert not state(found)["refused"]
    await until(lambda: state(found)["refused"])
    assert caplog.messages == ["nats-py is not installed. Install it."]
    assert (state(found)["reason"], state(found)["restarts"]) == (caplog.messages[0], 0)
    found.configure(replace(SETTINGS, flush_ms=50), str(tmp_path))
    await until(lambda: len(caplog.messages) == 2)
    worker = found.open_feed(bus("a"))
    assert worker
    worker.settimeout(PATIENCE_S)
    found.configure(None, str(tmp_path))
    assert worker.recv(1) == b"", "nobody has the other end"
    worker.close()
    await found.stop(PATIENCE_S)


@in_event_loop
async def test_losses_before_the_first_forwarder_are_not_those_of_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first one is killed before it has stored anything."""
    caplog.set_level("INFO", "cancorderd.forward")
    found = forwarding("report = lambda: None; serve(lambda feed, sock: None)")
    found.configure(SETTINGS, str(tmp_path))
    found.take_losses("a", 5, 6, 7, 0)
    worker = found.open_feed(bus("a"))
    assert worker
    await until(lambda: len(lines(caplog, "NewFeed(")) == 1)
    found.take_losses("a", 8, 8, 8, 0)
    assert found.pid
    os.kill(found.pid, signal.SIGKILL)
    await until(lambda: len(lines(caplog, "NewFeed(")) == 2)
    safe = "SafePosition(spool='', position=0, stored=0, kernel=5, adapter=6, unknown=7)"
    assert lines(caplog, "NewFeed(")[1] == f"NewFeed(bus='a', number=1, safe={safe})"
    await found.stop(PATIENCE_S)
    worker.close()


@pytest.mark.parametrize("end", ["SIGKILL", "SIGSTOP"])
@in_event_loop
async def test_forwarder_that_does_not_end_in_order_has_a_last_successor(
    end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cancorderd.forward")
    program = f"""
        def on_feed(feed, sock):
            report()
            if feed.safe is None:
                select.select([channel], [], [])
                signal.raise_signal(signal.{end})

        serve(on_feed)
    """
    found = forwarding(program)
    found.configure(SETTINGS, str(tmp_path))
    worker = found.open_feed(bus("a"))
    assert worker
    await until_reported(found)
    await found.stop(PATIENCE_S)
    assert found.pid is None
    first, last = lines(caplog, "NewFeed(")
    assert first == "NewFeed(bus='a', number=1, safe=None)"
    assert "position=42" in last
    assert lines(caplog, "EndRequest(") == ["EndRequest()"]
    worker.close()


@in_event_loop
async def test_bus_that_is_removed_and_added_again_goes_on_counting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cancorderd.forward")
    found = forwarding("report(); serve(lambda feed, sock: None)")
    found.configure(SETTINGS, str(tmp_path))
    await until_reported(found)
    found.take_losses("a", 5, 6, 7, 50)
    assert (found.fed("a"), found.fed("b")) == (50, 0)
    found.remove("a")
    found.take_losses("a", 0, 0, 1, 60)
    await until(lambda: len(lines(caplog, "GatewayLosses(")) == 2)
    assert (
        lines(caplog, "GatewayLosses(")[1] == "GatewayLosses(bus='a', kernel=5, adapter=6, unknown=8, fed=60)"
    )
    await found.stop(PATIENCE_S)


@in_event_loop
async def test_forwarder_learns_of_a_bus_whose_streams_have_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One before it may have had frames of them in memory."""
    caplog.set_level("INFO", "cancorderd.forward")
    found = forwarding(
        """
        def on_feed(feed, sock):
            if feed.safe:
                channel.send(Notice("info", f"rest: {sock.recv(1)}"))
            report([feed.number])

        serve(on_feed)
        """
    )
    found.configure(SETTINGS, str(tmp_path))
    worker = found.open_feed(bus("a"))
    assert worker
    worker.close()
    first = await until_reported(found)
    os.kill(first, signal.SIGKILL)
    await until_reported(found, first)
    await until(lambda: len(lines(caplog, "rest: ")) == 1)
    assert lines(caplog, "rest: ") == ["rest: b''"]
    assert "position=42" in lines(caplog, "NewFeed(")[1]
    await found.stop(PATIENCE_S)
