"""`cancorderd.client` with a running daemon."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from cancorderd import client
from tests.support.harness import poll
from tests.support.network_namespace import run_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon

FLOOD = '[bus.flood]\ninterface = "mock"\nrate = {rate}\n'


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_every_frame_is_received_once_and_in_order(daemon: Callable[[str], Daemon], host: str) -> None:
    port = daemon(FLOOD.format(rate=20_000)).wait_port("flood")
    with client.connect(host, port) as connection:
        assert connection.peer[1] == port
        frames = [next(connection) for _ in range(20_000)]
    numbers = [struct.unpack(">Q", frame.data)[0] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {(frame.arbitration_id, frame.is_extended, frame.is_fd) for frame in frames} == {
        (0x100, False, False)
    }
    stamps = [frame.timestamp_us for frame in frames]
    assert stamps == sorted(stamps)


def test_client_stays_connected_through_a_restart_until_the_daemon_ends(
    daemon: Callable[[str], Daemon],
) -> None:
    running = daemon(FLOOD.format(rate=2000))
    with client.connect_to(f"localhost:{running.wait_port('flood')}") as connection:
        next(connection)
        assert running.ctl("restart", "flood").returncode == 0
        running.wait_state("flood", "running")
        before = poll(lambda: connection.receive_available()[-1:])
        poll(lambda: connection.receive(0.1) not in (None, *before))
        running.stop()
        list(connection)  # to its end, after a whole packet
        with pytest.raises(client.StreamEnded):
            connection.receive()


def test_announced_logger_is_found_by_name() -> None:
    done = run_module("tests.e2e.found_by_name")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
