"""The python-can interface against loggers that are not as they should be, and with arguments that are wrong."""

from __future__ import annotations

import logging

import can
import pytest

from cancorderd import client
from cancorderd.client import python_can
from cancorderd.client.python_can import EcuconnectBus
from cancorderd.protocol.frame import Frame
from cancorderd.protocol.packets import HEADER, encode
from tests.support.harness import PATIENCE_S, poll
from tests.support.scripted_logger import ScriptedLogger

GOOD = encode(Frame(1_700_000_000_000_000, 0x123, 0, b"a"))
UNFLAGGED = HEADER.pack(9, 0x18DA00F1, 0, 0)
SKIPPED = HEADER.pack(9, 0x123, 0x40, 0)
IMPOSSIBLE = HEADER.pack(1, 1, 0, 200)


def ids(bus: can.BusABC, count: int) -> list[int]:
    found: list[int] = []
    poll(lambda: found.append(message.arbitration_id) if (message := bus.recv(0.1)) else len(found) >= count)
    return found


def test_sending_is_refused_at_once_in_every_way() -> None:
    with ScriptedLogger(GOOD) as logger, EcuconnectBus(f"localhost:{logger.port}") as bus:
        message = can.Message(arbitration_id=1)
        with pytest.raises(can.CanOperationError, match="is receive-only: its protocol cannot send"):
            bus.send(message)
        for messages in (message, [message]):
            with pytest.raises(can.CanOperationError, match="is receive-only: its protocol cannot send"):
                bus.send_periodic(messages, 0.1)
        with pytest.raises(can.CanOperationError, match="is receive-only"):
            bus.send_periodic(msgs=message, period=0.1, duration=1, store_task=False, autostart=False)
        bus.flush_tx_buffer()
        bus.stop_all_periodic_tasks()


@pytest.mark.parametrize(
    "channel", [42420, 0, None, b"localhost:42420", ["localhost:42420"], ("localhost", 42420), True]
)
def test_channel_of_another_type_is_a_value_error_with_an_example(channel: object) -> None:
    with pytest.raises(ValueError, match=r"Write HOST:PORT, .* such as \"localhost:42420\"\.$"):
        client.connect_to(channel)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='such as "localhost:42420"'):
        can.Bus(interface="ecuconnect", channel=channel, ignore_config=True)  # type: ignore[arg-type]


def test_missing_channel_is_a_value_error_with_an_example() -> None:
    with pytest.raises(ValueError, match=r'the channel is missing\..* such as "localhost:42420"'):
        can.Bus(interface="ecuconnect", ignore_config=True)


def test_time_limit_of_another_type_is_a_value_error_with_an_example() -> None:
    with pytest.raises(ValueError, match=r"timeout_s is 'long'\. Write seconds, such as 5\.0\."):
        EcuconnectBus("localhost:1", timeout_s="long")  # type: ignore[arg-type]


def test_reconnect_of_another_type_is_a_value_error_with_an_example() -> None:
    with pytest.raises(ValueError, match=r"reconnect is 'no'\. Write True or False\."):
        EcuconnectBus("localhost:1", reconnect="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [0, -1, 65536, 99_999, "x", None, 1.5])
def test_port_that_is_none_is_a_value_error_with_an_example(port: object) -> None:
    with pytest.raises(ValueError, match=r"Write a number from 1 to 65535, such as 42420\."):
        client.connect("localhost", port)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", [None, 1, b"localhost"])
def test_host_of_another_type_is_a_value_error_with_an_example(host: object) -> None:
    with pytest.raises(ValueError, match='such as "localhost"'):
        client.connect(host, 42420)  # type: ignore[arg-type]


def test_odd_packet_is_repaired_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedLogger(2 * UNFLAGGED + GOOD) as logger, EcuconnectBus(f"localhost:{logger.port}") as bus:
        messages = [bus.recv(PATIENCE_S) for _ in range(3)]
    assert [message and message.is_extended_id for message in messages] == [True, True, False]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "0x18DA00F1 is above 0x7FF" in caplog.text


def test_bus_connects_again_when_the_borders_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_can, "_RECONNECT_S", 0.0)
    scripts = (GOOD + SKIPPED + IMPOSSIBLE, SKIPPED + 2 * GOOD + IMPOSSIBLE, UNFLAGGED)
    with ScriptedLogger(*scripts) as logger, EcuconnectBus(f"localhost:{logger.port}") as bus:
        assert ids(bus, 4) == [0x123, 0x123, 0x123, 0x18DA00F1]
        assert len(logger.clients) == 3
        assert (bus.packets_repaired, bus.packets_skipped) == (1, 2)


def test_lost_borders_are_an_error_without_reconnect() -> None:
    with ScriptedLogger(GOOD + IMPOSSIBLE) as logger:
        place = f"localhost:{logger.port}"
        with EcuconnectBus(place, reconnect=False) as bus:
            assert bus.recv(PATIENCE_S)
            with pytest.raises(can.CanOperationError, match=f"^{place}: length byte is 200.*Connect again"):
                bus.recv(PATIENCE_S)


def test_another_protocol_is_an_error_and_not_tried_again() -> None:
    with ScriptedLogger(b"SSH-2.0-OpenSSH_9.2p1\r\n") as logger:
        with EcuconnectBus(f"localhost:{logger.port}") as bus:
            for _ in range(2):
                with pytest.raises(
                    can.CanOperationError, match=r"no ECUconnect Logger\. Correct the address"
                ):
                    bus.recv(PATIENCE_S)
        assert len(logger.clients) == 1
