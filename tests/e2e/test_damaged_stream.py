"""Readers of a logger whose stream is damaged: `cancorderctl dump`, and a bus of the daemon. They neither hang nor end."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from cancorderd.protocol.frame import EXTENDED, Frame
from cancorderd.protocol.packets import HEADER, encode
from cancorderd.python_command import python_command
from tests.support.harness import PATIENCE_S, ROOT, Client, poll
from tests.support.scripted_logger import ScriptedLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Daemon

GOOD = encode(Frame(1_700_000_000_000_000, 0x123, 0, b"a"))
UNFLAGGED = HEADER.pack(9, 0x18DA00F1, 0, 0)
IMPOSSIBLE = HEADER.pack(1, 1, 0, 200)


def test_dump_goes_on_after_an_odd_packet_and_after_lost_borders() -> None:
    with ScriptedLogger(GOOD + UNFLAGGED + IMPOSSIBLE, GOOD) as logger:
        place = f"127.0.0.1:{logger.port}"
        with subprocess.Popen(
            [*python_command("cancorderd.cli.cancorderctl"), "dump", place, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as dump:
            assert dump.stdout
            ids = [dump.stdout.readline().split('"id": ')[1].split(",")[0] for _ in range(3)]
            dump.send_signal(signal.SIGINT)
            _, errors = dump.communicate(timeout=PATIENCE_S)
    assert ids == [str(0x123), str(0x18DA00F1), str(0x123)]
    assert dump.returncode == 0
    assert f"{place}: length byte is 200; " in errors
    assert errors.endswith(f"{place}: packets repaired: 1, skipped: 0.\n")


def test_bus_that_reads_another_logger_serves_repaired_frames_and_opens_again(
    daemon: Callable[[str], Daemon],
) -> None:
    """The logger is damaged each time it is opened, so that a late client sees it, too."""
    with ScriptedLogger(GOOD + UNFLAGGED + IMPOSSIBLE) as logger:
        place = f"localhost:{logger.port}"
        running = daemon(f'[bus.copy]\ninterface = "ecuconnect"\nchannel = "{place}"\n')
        with Client(running.wait_port("copy")) as client:
            poll(lambda: len(logger.clients) >= 3, what="opened again and again")
            frames = client.wait_frames(4)
            assert not client.ended
        assert {(frame.arbitration_id, frame.flags) for frame in frames} == {
            (0x123, 0),
            (0x18DA00F1, EXTENDED),
        }
        assert f"{place}: length byte is 200; " in str(running.bus("copy")["last_error"])
        running.wait_log(f"{place}: arbitration id 0x18DA00F1 is above 0x7FF. ")
