from __future__ import annotations

from cancorderd.ipc.exit_statuses import SideExit, WorkerExit


def test_statuses_are_those_of_sysexits() -> None:
    """What starts a worker by hand, and what reads the log, knows them by number (sysexits.h)."""
    assert {status.name: int(status) for status in WorkerExit} == {"DONE": 0, "CAN_ERROR": 74, "REFUSED": 78}
    assert {status.name: int(status) for status in SideExit} == {"DONE": 0, "AGAIN": 75, "REFUSED": 78}
