"""Faults of adapters that stay plugged in: floods of error frames, and a library that does not return from a call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.adapters.toucan import can_api
from tests.faults.adapters import RATE, gs_usb, served, toucan
from tests.faults.drill import Drill, Row, Scale
from tests.support.gs_usb_adapter import ERR, frame
from tests.support.harness import busy_limit_s, poll
from tests.support.toucan_stage import Word

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.adapters import ServedBus, ToucanPlug

BURST = 200
"""Error frames in a row: an adapter's own queue has 512 places, which the frames share."""
CONTROLLER, BUS_OFF, RESTARTED = 0x4, 0x40, 0x100
"""Classes of error frames (linux/can/error.h)."""
GOES_ON_WITHIN_S = 5.0
WOKEN_WITHIN_S = 4.0
"""A call is woken after 2 s."""
REPLACED_WITHIN_S = 12.0
"""A call that cannot be woken is given up after 6 s; then another worker opens the adapter."""
HANGS_UNTIL_WOKEN, HANGS_FOR_EVER = 1, 2


def gs_usb_errors(folder: Path, scale: Scale) -> Row:
    """Bursts of error frames between frames: warnings in turn, and a controller that is bus-off and restarts."""
    row = Row(times=scale.of(20, 500))
    given = 0
    with gs_usb(folder) as adapter, served(folder, adapter.bus, lambda: adapter.next_number) as bus:
        adapter.flow(RATE)
        bus.wait_flow()
        worker = bus.status()["pid"]
        for burst in range(row.times):
            for number in range(BURST):
                if burst % 2:
                    error = frame(ERR | (BUS_OFF, RESTARTED)[number % 2], bytes(8))
                else:
                    error = frame(ERR | CONTROLLER, bytes([0, 4 + 8 * (number % 2), 0, 0, 0, 0, 0, 0]))
                given += adapter.device.receive(error)
            expect_flow(row, bus)
        adapter.flow(0)
        bus.settle()
        finish(row, bus, adapter.next_number, given, worker)
    return row


def toucan_errors(folder: Path, scale: Scale) -> Row:
    """Bursts of status messages between frames: warnings, bus errors, overruns, and all clear."""
    row = Row(times=scale.of(20, 500))
    bits = (can_api.WARNING, can_api.BUS_ERROR, can_api.WARNING | can_api.BUS_ERROR, 0)
    with toucan(folder) as adapter, served(folder, adapter.bus, lambda: adapter.next_number) as bus:
        adapter.flow(RATE)
        bus.wait_flow()
        worker = bus.status()["pid"]
        for _ in range(row.times):
            for number in range(BURST):
                adapter.stage.put(0, can_api.STS, data=bytes([bits[number % len(bits)], 0, 0, 0]))
            expect_flow(row, bus)
        adapter.flow(0)
        bus.settle()
        finish(row, bus, adapter.sent, row.times * BURST, worker)
    return row


def expect_flow(row: Row, bus: ServedBus) -> None:
    """Wait for the next frame, behind a burst."""
    began_s = time.monotonic()
    row.recoveries_s.append(bus.wait_flow() - began_s)
    limit_s = busy_limit_s(GOES_ON_WITHIN_S)
    row.expect(row.recoveries_s[-1] < limit_s, f"the next frame came after {row.recoveries_s[-1]:.1f} s")


def finish(row: Row, bus: ServedBus, sent: int, errors: int, worker: int) -> None:
    """Account for the frames; every error frame is counted, by the same worker, and no client was disconnected."""
    row.accounts.append(bus.account(sent))
    row.mistakes += bus.viewer.mistakes()
    counted = bus.status()["frames"]["error"]
    row.expect(counted == errors, f"{counted} of {errors} error frames are counted")
    row.expect(bus.status()["pid"] == worker, "the worker was replaced")
    row.expect(bus.viewer.connections == 1, f"the client was cut {bus.viewer.connections - 1} times")
    row.figures["error_frames"] = errors


def toucan_stuck(folder: Path, scale: Scale) -> Row:
    """The library does not return from can_read: until can_kill wakes it, or never, as with a driver that hangs."""
    row = Row()
    with toucan(folder) as adapter, served(folder, adapter.bus, lambda: adapter.next_number) as bus:
        adapter.flow(RATE)
        for _ in range(scale.of(1, 10)):
            for hangs in (HANGS_UNTIL_WOKEN, HANGS_FOR_EVER):
                bus.wait_flow()
                worker = bus.status()["pid"]
                stuck_s = hang(bus, adapter, hangs, worker)
                row.recoveries_s.append(bus.wait_flow() - stuck_s)
                row.times += 1
                limit_s = busy_limit_s(WOKEN_WITHIN_S if hangs == HANGS_UNTIL_WOKEN else REPLACED_WITHIN_S)
                row.expect(
                    row.recoveries_s[-1] < limit_s, f"frames came back after {row.recoveries_s[-1]:.1f} s"
                )
                kept = bus.status()["pid"] == worker
                row.expect(kept == (hangs == HANGS_UNTIL_WOKEN), "the wrong worker serves the bus")
        adapter.flow(0)
        bus.settle()
        row.accounts.append(bus.account(adapter.sent))
        row.mistakes += bus.viewer.mistakes()
        row.expect(bus.viewer.connections == 1, f"the client was cut {bus.viewer.connections - 1} times")
        row.expect(not row.lost, "frames are counted as lost")
    return row


def hang(bus: ServedBus, adapter: ToucanPlug, hangs: int, worker: int) -> float:
    """Let a call hang until the daemon has done something about it; return when that began, on the monotonic clock."""
    calls, kills = adapter.stage[Word.READS], adapter.stage[Word.KILLS]
    adapter.stage[Word.HANG] = hangs
    began_s = time.monotonic()
    poll(lambda: adapter.stage[Word.READS] > calls, what="a call that hangs")
    if hangs == HANGS_UNTIL_WOKEN:
        poll(lambda: adapter.stage[Word.KILLS] > kills, what="the call is woken")
    else:
        poll(lambda: bus.status()["pid"] != worker, what="the worker is replaced")
        reason = bus.status()["last_error"]
        assert "has not returned from a call" in reason, f"the reason is {reason!r}"
    adapter.stage[Word.HANG] = 0
    return began_s


DRILLS = (
    Drill("gs-usb-errors", "floods of error frames and bus-off from a gs_usb adapter", gs_usb_errors),
    Drill("toucan-errors", "floods of status messages from a TouCAN", toucan_errors),
    Drill("toucan-stuck", "TouCAN's library never returns from a call", toucan_stuck),
)
