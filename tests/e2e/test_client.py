"""`cancorderd.client` against a running daemon."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cancorderd import client
from tests.harness import ROOT, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Daemon

FLOOD = '[bus.flood]\ninterface = "mock"\nrate = {rate}\n'


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_every_frame_comes_once_and_in_order(daemon: Callable[[str], Daemon], host: str) -> None:
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


def test_the_client_stays_connected_through_a_restart_and_ends_with_the_daemon(
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
        list(connection)  # to its end, at the border of a packet
        with pytest.raises(client.StreamEnded):
            connection.receive()


def test_what_a_logger_announces_is_found_by_name() -> None:
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace may be made here")
    done = subprocess.run(
        [*apart, sys.executable, "-W", "error", "-m", "tests.e2e.found_by_name"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
