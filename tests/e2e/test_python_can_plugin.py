"""The python-can interface as scripts use it: `can.Bus(interface="ecuconnect")`, and notifiers on it."""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from typing import TYPE_CHECKING

import can
import pytest

from cancorderd import client
from tests.support.harness import PATIENCE_S, Client, free_port, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon

FLOOD = '[bus.flood]\ninterface = "mock"\nrate = 2000\n'
CAR = '[bus.car]\ninterface = "mock"\nfd = true\nspeed = 10\n'


def numbers(messages: list[can.Message]) -> list[int]:
    return [struct.unpack(">Q", message.data)[0] for message in messages]


def assert_consecutive(messages: list[can.Message]) -> None:
    found = numbers(messages)
    assert found == list(range(found[0], found[0] + len(found)))


def test_messages_equal_the_frames_of_a_client(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(CAR).wait_port("car")
    with Client(port) as viewer, can.Bus(interface="ecuconnect", channel=f"localhost:{port}") as bus:
        assert isinstance(bus, can.BusABC)
        assert bus.protocol == can.CanProtocol.CAN_FD
        assert bus.channel_info == str(bus) == f"ecuconnect localhost:{port}"
        messages = [bus.recv(PATIENCE_S) for _ in range(300)]
        last = messages[-1]
        assert last
        poll(lambda: any(frame.timestamp_s == last.timestamp for frame in viewer.frames))
        expected = {frame.timestamp_s: frame for frame in viewer.frames}
    for message in messages:
        assert message
        frame = expected[message.timestamp]
        assert (message.arbitration_id, bytes(message.data)) == (frame.arbitration_id, frame.data)
        assert (message.is_extended_id, message.is_fd) == (frame.is_extended, frame.is_fd)
        assert message.bitrate_switch == frame.bitrate_switch
        assert message.error_state_indicator == frame.error_state_indicator
        assert (message.dlc, message.is_rx) == (len(frame.data), True)
        assert message.channel == 0
    assert any(message and message.is_fd for message in messages)


def test_bus_is_receive_only(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(FLOOD).wait_port("flood")
    with can.Bus(interface="ecuconnect", channel=f"[::1]:{port}", bitrate=250_000, fd=True) as bus:
        with pytest.raises(can.CanOperationError, match=rf"ecuconnect \[::1\]:{port} is receive-only"):
            bus.send(can.Message())
        bus.state = can.BusState.PASSIVE
        with pytest.raises(can.CanOperationError, match="can only be PASSIVE"):
            bus.state = can.BusState.ACTIVE
        assert bus.state is can.BusState.PASSIVE
        assert bus.recv(PATIENCE_S)
        bus.shutdown()
        with pytest.raises(can.CanOperationError, match="is shut down"):
            while bus.recv():
                pass


def test_filters_of_python_can_apply(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(CAR).wait_port("car")
    only = [{"can_id": 0x7E8, "can_mask": 0x7FF, "extended": False}]
    with can.Bus(interface="ecuconnect", channel=f"localhost:{port}", can_filters=only) as bus:
        assert {message.arbitration_id for _ in range(20) if (message := bus.recv(PATIENCE_S))} == {0x7E8}
        bus.set_filters(None)
        poll(lambda: (message := bus.recv(1)) and message.arbitration_id != 0x7E8)


def test_connecting_fails_with_a_reason() -> None:
    port = free_port()
    with pytest.raises(can.CanInitializationError, match=f"^localhost:{port}: nothing listens there"):
        can.Bus(interface="ecuconnect", channel=f"localhost:{port}")
    with pytest.raises(ValueError, match='"can0" names no logger'):
        can.Bus(interface="ecuconnect", channel="can0")


def test_channel_for_log_files_can_be_given(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(FLOOD).wait_port("flood")
    with can.Bus(interface="ecuconnect", channel=f"localhost:{port}", message_channel="body") as bus:
        message = bus.recv(PATIENCE_S)
        assert message
        assert message.channel == "body"


def test_bus_reads_on_after_the_daemon_was_restarted(
    daemon: Callable[[str], Daemon], caplog: pytest.LogCaptureFixture
) -> None:
    running = daemon(FLOOD)
    port = running.wait_port("flood")
    running.write(FLOOD + f"port = {port}\n")
    with can.Bus(interface="ecuconnect", channel=f"localhost:{port}") as bus:
        assert bus.recv(PATIENCE_S)
        running.stop()
        poll(lambda: bus.recv(0.3) is None)
        running.start()
        poll(lambda: bus.recv(0.3))
    place = f"localhost:{port}"
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert (
        warnings[0]
        == f"{place}: the server ended the stream. Connect again. (This bus does so by itself, once a second.)"
    )
    # While the daemon ends, its port may still accept a connection and break it.
    assert warnings[-1] == f"ecuconnect {place}: connected again."


def test_end_of_the_stream_is_an_error_without_reconnect(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(FLOOD)
    port = running.wait_port("flood")
    with can.Bus(interface="ecuconnect", channel=f"localhost:{port}", reconnect=False) as bus:
        running.stop()
        with pytest.raises(can.CanOperationError, match="the server ended the stream"):
            poll(lambda: bus.recv(1) is None)


def test_shutdown_ends_reconnecting_at_once(daemon: Callable[[str], Daemon]) -> None:
    running = daemon(FLOOD)
    bus = can.Bus(interface="ecuconnect", channel=f"localhost:{running.wait_port('flood')}")
    running.stop()
    poll(lambda: bus.recv(0.1) is None)
    bus.shutdown()
    poll(lambda: all(thread.name != "ecuconnect reconnect" for thread in threading.enumerate()))


def test_notifier_reads_every_message(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(FLOOD).wait_port("flood")
    messages: list[can.Message] = []
    with (
        can.Bus(interface="ecuconnect", channel=f"localhost:{port}") as bus,
        can.Notifier(bus, [messages.append]),
    ):
        poll(lambda: len(messages) >= 4000)
    assert_consecutive(messages)


def test_asyncio_notifier_reads_every_message(daemon: Callable[[str], Daemon]) -> None:
    port = daemon(FLOOD).wait_port("flood")

    async def read(bus: can.BusABC) -> list[can.Message]:
        reader = can.AsyncBufferedReader()
        with can.Notifier(bus, [reader], loop=asyncio.get_running_loop()):
            async with asyncio.timeout(PATIENCE_S):
                return [await reader.get_message() for _ in range(4000)]

    with can.Bus(interface="ecuconnect", channel=f"localhost:{port}") as bus:
        assert_consecutive(asyncio.run(read(bus)))


def test_daemon_reads_the_bus_of_another_daemon(
    daemon: Callable[[str], Daemon], tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = daemon(FLOOD)
    port = first.wait_port("flood")
    section = f'[bus.copy]\ninterface = "ecuconnect"\nchannel = "localhost:{port}"\n'
    second = type(first)(tmp_path_factory.mktemp("second"), section)
    with second, client.connect("localhost", second.wait_port("copy")) as connection:
        frames = [connection.receive(PATIENCE_S) for _ in range(2000)]
        found = [struct.unpack(">Q", frame.data)[0] for frame in frames if frame]
        assert found == list(range(found[0], found[0] + 2000))
        first.stop()
        assert "localhost" in str(second.wait_state("copy", "backoff")["last_error"])
