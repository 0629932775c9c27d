"""An adapter whose time stamps are no clock, on a real daemon: what its clients, the status and the log get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.firmware.slcan_board import SlcanBoard, SlcanExhibit
from tests.support.harness import Client, Daemon, busy_limit_s, poll

if TYPE_CHECKING:
    from pathlib import Path

STOPPED_CLOCK = SlcanExhibit(
    name="stopped clock",
    symptom="All time stamps are the same.",
    came="running",
    stamp=lambda _number, _now_s: b"1388",
)


def test_stamps_that_are_no_clock_are_replaced_and_reported_once(tmp_path: Path) -> None:
    with SlcanBoard(STOPPED_CLOCK) as board:
        buses = f'[bus.body]\ninterface = "slcan"\nchannel = "{board.port}"\n'
        with Daemon(tmp_path, buses) as daemon:
            client = Client(daemon.wait_port("body"))
            poll(lambda: "clock" in daemon.bus("body")["details"], what="the clock is judged")
            before = len(client.wait_frames(1))
            client.wait_frames(before + 20)
            client.socket.close()
            details = daemon.bus("body")["details"]
            assert details["clock"].startswith("not used: it does not run at the host's rate")
            log = daemon.log.read_text()
            assert log.count(f"{board.port}: the adapter's clock is not used: ") == 1
        for frame in list(client.frames):
            off_us = frame.timestamp_us - board.sent_us[int.from_bytes(frame.data)]
            assert abs(off_us) < 1_000_000 * busy_limit_s(3), "no more than a second, and the time on the way"
